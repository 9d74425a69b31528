// SPDX-License-Identifier: GPL-2.0

//! What one user of /proc/fortune can do to the others: nothing.

use crate::{
    memory::{Stall, write_from},
    module::{
        CONTROL, Done, HANG, KernelLog, Module, assert_cat, by_kernel, cat, echo, is_debug_kernel,
        open, set, stat, store,
    },
    unloading::kernel_memory,
};
use ktap::{Limit, amount, figure, is_brief, note};
use nix::{
    errno::Errno,
    fcntl::{SpliceFFlags, splice},
    mount::{MsFlags, mount, umount},
    sys::{
        mman::{MapFlags, ProtFlags, mmap_anonymous, munmap},
        signal::{Signal, kill},
        uio::pread,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, Whence, fork, lseek, pipe, write},
};
use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    num::NonZero,
    os::fd::AsRawFd,
    ptr::NonNull,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

ktap::tests!(others, Guest:
    stalled_reader [O1],
    stalled_writer [O1],
    waits_are_killed [O4],
    memory_is_charged [O2],
    memory_is_bounded [O2],
    a_thousand_writers [O2] needs(Stock),
    nothing_is_logged [O3],
);

/// What others do meanwhile: draw and store, a thousand times each.
fn others_go_on() {
    for number in 0..by_kernel(1000, 200) {
        echo(&format!("other {number}"));
        assert!(!cat().is_empty());
    }
}

fn stalled_reader() {
    let _module = Module::load("pot_size=1000000");
    echo("for the one who stalls");
    let stall = Stall::new();
    let (address, file) = (stall.address(), open());
    let reader = thread::spawn(move || {
        // SAFETY: The page is there until the thread has ended.
        let count = unsafe { libc::read(file.as_raw_fd(), address as *mut libc::c_void, 100) };
        // SAFETY: As above; the read has ended.
        let page = unsafe { std::slice::from_raw_parts(address as *const u8, 23) };
        (count, page.to_vec())
    });
    stall.wait();
    others_go_on();
    stall.let_go(b"");
    let expected = (23, b"for the one who stalls\n".to_vec());
    assert_eq!(reader.join().unwrap(), expected);
}

fn stalled_writer() {
    let _module = Module::load("pot_size=1000000");
    let stall = Stall::new();
    let (address, file) = (stall.address(), open());
    let writer = thread::spawn(move || {
        // SAFETY: The page is there until the thread has ended.
        unsafe { libc::write(file.as_raw_fd(), address as *const libc::c_void, 10) }
    });
    stall.wait();
    others_go_on();
    stall.let_go(b"");
    assert_eq!(writer.join().unwrap(), 10);
    // It comes after all that was stored meanwhile, and all of these are whole.
    assert_cat("\0\0\0\0\0\0\0\0\0\0\n");
    for number in 0..by_kernel(1000, 200) {
        assert_cat(&format!("other {number}\n"));
    }
}

/// After how many seconds of waiting the kernel reports a task.
const HUNG_TASK: &str = "/proc/sys/kernel/hung_task_timeout_secs";

/// What the kernel says of a task of this process, such as `D`: it waits, and takes no signals but SIGKILL at most.
fn state(task: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{task}/stat")).unwrap();
    let (_, state) = stat.rsplit_once(") ").unwrap();
    state.chars().next().unwrap()
}

/// Waits until something is so, and says whether it is at last.
fn comes_about(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < HANG {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// One process is stalled in a call; another one, which shares the open file, waits for it, and is killed.
fn waits_are_killed() {
    let _module = Module::load("");
    echo("for the one who stalls");
    let seconds = fs::read_to_string(HUNG_TASK).unwrap();
    fs::write(HUNG_TASK, "1").unwrap();
    let log = KernelLog::new();
    let pot = File::open(format!("{CONTROL}/pot")).unwrap();
    let waiting: Vec<_> = [(open(), true), (open(), false), (pot, true)]
        .into_iter()
        .map(|(file, reads)| {
            let fd = file.as_raw_fd();
            // SAFETY: The kernel checks the address.
            let call = move |address: u64| unsafe {
                if reads {
                    libc::pread(fd, address as *mut libc::c_void, 10, 0)
                } else {
                    libc::pwrite(fd, address as *const libc::c_void, 10, 0)
                }
            };
            let stall = Stall::new();
            let address = stall.address();
            let stalled = thread::spawn(move || call(address));
            stall.wait();
            let mut other = [b'x'; 10];
            let other = other.as_mut_ptr() as u64;
            // SAFETY: The child makes two system calls, and nothing else.
            let waiter = match unsafe { fork() }.unwrap() {
                ForkResult::Child => {
                    call(other);
                    // SAFETY: Nothing of the program is used any more.
                    unsafe { libc::_exit(0) }
                }
                ForkResult::Parent { child } => child,
            };
            let waits = comes_about(|| state(waiter) == 'D');
            (file, stall, stalled, waiter, waits)
        })
        .collect();
    // Long enough for a report.
    thread::sleep(Duration::from_secs(3));
    let mut longest = Duration::ZERO;
    for (file, stall, stalled, waiter, waits) in waiting {
        let still_waits = state(waiter) == 'D';
        kill(waiter, Signal::SIGKILL).unwrap();
        let begun = Instant::now();
        let mut end = Ok(WaitStatus::StillAlive);
        comes_about(|| {
            end = waitpid(waiter, Some(WaitPidFlag::WNOHANG));
            end != Ok(WaitStatus::StillAlive)
        });
        longest = longest.max(begun.elapsed());
        let is_stalled = !stalled.is_finished();
        stall.let_go(b"");
        assert!(waits && still_waits && is_stalled);
        assert_eq!(
            end,
            Ok(WaitStatus::Signaled(waiter, Signal::SIGKILL, false))
        );
        assert_eq!(stalled.join().unwrap(), 10);
        drop(file);
    }
    let said = log.said();
    let reports = said
        .into_iter()
        .filter(|line| line.contains("blocked for more"));
    let reports = reports.inspect(|line| note(line.clone())).count();
    fs::write(HUNG_TASK, seconds.trim()).unwrap();
    // The one that waited with a write has stored nothing, and is not taken for a write that failed.
    assert_cat("\0\0\0\0\0\0\0\0\0\0\n");
    assert_cat("for the one who stalls\n");
    assert_eq!(stat("fortunes"), 2);
    let at_once = Limit::most(longest, Duration::from_secs(1), "");
    figure(
        "S26",
        "3 who wait for an open file and are killed end within {}, and there are {} of a task that hung for 1 s",
        &[
            at_once.or_else(Limit::most(longest, HANG, "")),
            Limit::exactly(reports, 0, "reports"),
        ],
    );
}

/// A memory cgroup that this process is in, until it is dropped.
pub(crate) struct Group;

impl Group {
    const ALL: &str = "/run/cgroup";
    const OURS: &str = "/run/cgroup/ours";

    pub(crate) fn enter() -> Self {
        fs::create_dir_all(Self::ALL).unwrap();
        mount(
            Some("cgroup2"),
            Self::ALL,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        fs::write(format!("{}/cgroup.subtree_control", Self::ALL), "+memory").unwrap();
        fs::create_dir(Self::OURS).unwrap();
        fs::write(format!("{}/cgroup.procs", Self::OURS), "0").unwrap();
        Self
    }

    /// How many bytes of kernel memory it is charged for.
    pub(crate) fn charged(&self) -> usize {
        let stat = fs::read_to_string(format!("{}/memory.stat", Self::OURS)).unwrap();
        let kernel = stat.lines().find_map(|line| line.strip_prefix("kernel "));
        kernel.unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::write(format!("{}/cgroup.procs", Self::ALL), "0").unwrap();
        // A thread that was joined may still be on its way out of the group.
        assert!(
            comes_about(|| fs::remove_dir(Self::OURS).is_ok()),
            "it is in use"
        );
        umount(Self::ALL).unwrap();
    }
}

/// What an open file may take: two fortunes, which the kernel's allocator may round up to 128 KiB each, and what
/// else it has.
const EACH: usize = (2 * 128 + 4) << 10;

fn memory_is_charged() {
    const FILES: usize = 200;
    let _module = Module::load("pot_size=1000000");
    store(&[b'x'; 65536]).unwrap();
    let group = Group::enter();
    let before = group.charged();
    let files: Vec<File> = (0..FILES)
        .map(|_| {
            let mut file = open();
            assert_eq!(file.read(&mut [0; 10]).unwrap(), 10);
            file
        })
        .collect();
    // Each open file holds the fortune that it has drawn.
    let charged = group.charged() - before;
    assert!(charged >= FILES * 65536, "{charged}");
    drop(files);
    // KASAN adds to what is allocated, and keeps for a while what is freed.
    if is_debug_kernel() {
        return;
    }
    let left = group.charged().saturating_sub(before);
    assert!(left < FILES * 65536 / 10, "{left}");

    // The index is charged to who makes it grow.
    let before = group.charged();
    store("%\nx\n".repeat(100_000).as_bytes()).unwrap();
    let charged = group.charged() - before;
    assert!(charged >= 100_000 * 4, "{charged}");
    assert!(charged < 100_000 * 5, "{charged}");
    set("clear", "1").unwrap();
    let left = group.charged().saturating_sub(before);
    assert!(left < 100_000, "{left}");
}

fn memory_is_bounded() {
    let number = if is_debug_kernel() { 2 } else { 40 };
    let _module = Module::load("pot_size=4000000");
    store(&[b'x'; 65536]).unwrap();
    let group = Group::enter();
    let before = group.charged();
    let files: Vec<File> = (0..number).map(|_| open()).collect();
    for mut file in &files {
        assert_eq!(file.read(&mut [0; 10]).unwrap(), 10);
        // As much as can be unfinished, and after that as much as a write may bring.
        assert_eq!(write(file, &[b'y'; 65536]), Ok(65536));
        assert_eq!(write(file, &vec![b'z'; 8_000_000]), Err(Errno::ENOSPC));
        assert_eq!(write(file, b"\n%"), Ok(2));
    }
    let charged = group.charged() - before;
    assert!(charged <= number * EACH || is_debug_kernel(), "{charged}");
}

/// Memory full of text with a newline and a separator now and then, of which little is really there: as a
/// writer of the largest counts may have.
struct Text(NonNull<libc::c_void>);

impl Text {
    /// The most that the VFS passes on (MAX_RW_COUNT).
    const MOST: usize = (2 << 30) - 4096;

    fn new() -> Self {
        let mut begin = b"%\nsome text\nand more of it\n".repeat(10_000);
        begin.extend_from_slice(&[b'x'; 80_000]);
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: New memory at an address of the kernel's choice is nobody's yet; it is larger than `begin`.
        unsafe {
            let len = NonZero::new(Self::MOST).expect("not of size 0");
            let text = mmap_anonymous(None, len, both, flags).unwrap();
            text.cast::<u8>()
                .copy_from(NonNull::from(&*begin).cast(), begin.len());
            Self(text)
        }
    }
}
impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: The memory was mapped in `new`, and nobody uses it any more.
        unsafe { munmap(self.0, Self::MOST) }.unwrap();
    }
}

/// Lets many write and read for so long, and says how many bytes were charged to `group` at most.
fn write_at_once(writers: usize, text: &Text, group: &Group, time: Duration) -> usize {
    let (ready, done) = (Barrier::new(writers + 1), AtomicBool::new(false));
    let address = text.0.as_ptr() as usize;
    let mut most = 0;
    thread::scope(|scope| {
        for seed in 0..writers {
            let (ready, done) = (&ready, &done);
            let write_some = move || {
                let mut random = fastrand::Rng::with_seed(seed as u64);
                ready.wait();
                while !done.load(Ordering::Relaxed) {
                    let file = open();
                    for _ in 0..4 {
                        let most = [100, 70_000, 200_000, Text::MOST - 280_000][random.usize(..4)];
                        let from = (address + random.usize(..280_000)) as *const libc::c_void;
                        match write_from(&file, from, random.usize(..most)) {
                            Ok(_) | Err(Errno::ENOSPC) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    pread(&file, &mut [0; 10], 0).unwrap();
                }
            };
            let thread = thread::Builder::new().stack_size(64 << 10);
            thread.spawn_scoped(scope, write_some).unwrap();
        }
        let _done = Done(&done);
        ready.wait();
        let (begun, before) = (Instant::now(), group.charged());
        while begun.elapsed() < time {
            thread::sleep(Duration::from_millis(5));
            most = most.max(group.charged().saturating_sub(before));
        }
    });
    most
}

fn a_thousand_writers() {
    const SIZE: usize = 65536;
    // What has not become less for so long stays.
    const SETTLED: Duration = Duration::from_secs(10);
    // Once it is a thousand.
    let (writers, seconds) = if is_brief() {
        (200, 5)
    } else {
        (1000, amount(10, 60))
    };
    let time = Duration::from_secs(seconds);
    let _module = Module::load(&format!("pot_size={SIZE}"));
    set("when_full", "evict").unwrap();
    let (group, text) = (Group::enter(), Text::new());
    // The kernel's own caches grow with the first thousand.
    write_at_once(writers, &text, &group, Duration::from_secs(1));
    // They can grow once more; what leaks does so each time.
    let mut tries = Vec::new();
    let (most, left) = loop {
        set("clear", "1").unwrap();
        let before = kernel_memory();
        let most = write_at_once(writers, &text, &group, time);
        assert!(most > SIZE, "nothing was charged");
        assert_eq!(stat("reserved"), 0);
        let index = stat("fortunes") as i64 * 5 / 1024 + 4;
        let (mut least, mut since) = (i64::MAX, Instant::now());
        let left = loop {
            let left = kernel_memory() - before - index;
            if left < least {
                (least, since) = (left, Instant::now());
            }
            if left <= 64 || since.elapsed() > SETTLED {
                break left;
            }
            thread::sleep(Duration::from_millis(100));
        };
        tries.push((most, left));
        if left <= 64 || most > writers * EACH || tries.len() == 3 {
            break (most, left);
        }
    };
    note(format!("charged and left in KiB, each time: {tries:?}"));
    figure(
        "S15",
        &format!("{{}} for {seconds} s: {{}} charged; {{}} left after that"),
        &[
            Limit::amount(writers, 1000, "writers"),
            Limit::most(most.div_ceil(1024), writers * EACH / 1024, "KiB"),
            Limit::most(left, 64, "KiB"),
        ],
    );
}

fn nothing_is_logged() {
    let times = by_kernel(100_000, amount(300, 100_000));
    let module = Module::load("pot_size=10");
    echo("123456789");
    let log = KernelLog::new();
    let file = open();
    let (from_pipe, _to_pipe) = pipe().unwrap();
    let order = OpenOptions::new()
        .write(true)
        .open(format!("{CONTROL}/order"))
        .unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: The kernel checks the addresses, and finds them bad; the mapping fails, and so does the ioctl.
    let errors = |expected: &[Errno], live: bool| unsafe {
        let null = std::ptr::null_mut();
        let none = SpliceFFlags::empty();
        let results = [
            Errno::result(libc::write(fd, c"too much to store".as_ptr().cast(), 17)),
            Errno::result(libc::read(fd, null, 1)),
            Errno::result(libc::write(fd, null, 1)),
            lseek(&file, -1, Whence::SeekSet).map(|_| 0),
            splice(&from_pipe, None, &file, None, 1, none).map(|_| 0),
            write(&order, b"no order").map(|_| 0),
            Errno::result(libc::mmap(
                null,
                1,
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd,
                0,
            ))
            .map(|_| 0),
            Errno::result(libc::ioctl(fd, libc::TIOCGWINSZ, null)).map(|_| 0),
        ];
        for (call, (result, expected)) in results.iter().zip(expected).enumerate() {
            assert_eq!(*result, Err(*expected), "call {call}, {live}");
        }
    };
    use Errno::{EFAULT, EINVAL, EIO, ENOSPC, ENOTTY};
    for _ in 0..times {
        errors(
            &[ENOSPC, EFAULT, EFAULT, EINVAL, EINVAL, EINVAL, EIO, ENOTTY],
            true,
        );
    }
    assert_cat("123456789\n");
    module.unload();
    let mut done = 0;
    for _ in 0..times {
        errors(&[EIO, EIO, EIO, EINVAL, EINVAL, EIO, EIO, ENOTTY], false);
        done += 1;
    }
    let said = log.said();
    said.iter().take(10).cloned().for_each(note);
    figure(
        "S14",
        "16 calls that fail, {} each: {} in the log",
        &[
            Limit::amount(done, times, "times"),
            Limit::exactly(said.len(), 0, "lines"),
        ],
    );
}
