// SPDX-License-Identifier: GPL-2.0

//! A module with an entry of every kind in `/proc/proc_fs_test`, without a line of unsafe code.
//!
//! tests/guest/src/proc_fs.rs says what each has to do. The examples in the documentation of `proc_fs`
//! are here too, so that they are known to compile and to work.

/// What fortune.ko has it from.
#[path = "../../src"]
pub mod shared {
    pub mod compat;
    pub mod proc_fs;
}

use kernel::{
    alloc::flags::__GFP_ZERO,
    fs::{
        file::Offset,
        File,
        Kiocb,
        LocalFile, //
    },
    ioctl::{
        _IO,
        _IOR,
        _IOW, //
    },
    iov::IovIterDest,
    mm::virt::VmaNew,
    new_mutex,
    page::Page,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader,
        UserSliceWriter, //
    }, //
};
use shared::proc_fs::{
    self,
    Dir,
    Mode,
    Options,
    Seek,
    Symlink,
    Whence, //
};

module! {
    type: Test,
    name: "proc_fs_test",
    authors: ["The fortune.ko authors"],
    description: "An entry of every kind in /proc/proc_fs_test",
    license: "GPL",
    params: {
        fail: u64 {
            default: 0,
            description: "1: initialisation fails when all is there",
        },
        collide: u64 {
            default: 0,
            description: "1: make an entry of a name that somebody else has taken",
        },
        forget: u64 {
            default: 0,
            description: "1: forget the handles of a directory and of a link",
        },
    },
}

const READ_ONLY: Mode = Mode::new::<0o444>();
const READ_WRITE: Mode = Mode::new::<0o644>();

/// How many open files there were, and how many were released.
struct Counters {
    opened: Atomic<u64>,
    released: Atomic<u64>,
}

impl Counters {
    fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                opened: Atomic::new(0),
                released: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }
}

/// Shows them.
struct ShowCounters(Arc<Counters>);

impl proc_fs::Show for ShowCounters {
    fn show(&self, m: &SeqFile) -> Result {
        let (opened, released) = (self.0.opened.load(Relaxed), self.0.released.load(Relaxed));
        seq_print!(m, "{opened} {released}\n");
        Ok(())
    }
}

/// What an open file of [`Memory`] owns: counted when it is made and when it is dropped.
struct Counted {
    counters: Arc<Counters>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counters.released.fetch_add(1, Relaxed);
    }
}

const MEMORY: usize = 4096;
const LEN: u32 = _IO('p' as u32, 0);
const GET: u32 = _IOR::<u64>('p' as u32, 1);
const SET: u32 = _IOW::<u64>('p' as u32, 2);
const NEGATIVE: u32 = _IO('p' as u32, 3);

/// A memory that can be read, written, sought, mapped and asked: every callback there is.
#[pin_data]
struct Memory {
    counters: Arc<Counters>,
    #[pin]
    bytes: Mutex<[u8; MEMORY]>,
    number: Atomic<u64>,
    page: Page,
}

impl Memory {
    fn new(counters: &Arc<Counters>) -> impl PinInit<Self, Error> {
        let counters = counters.clone();
        try_pin_init!(Self {
            counters,
            bytes <- new_mutex!([0; MEMORY]),
            number: Atomic::new(0),
            page: Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?,
        })
    }
}

#[vtable]
impl proc_fs::Operations for Memory {
    type Ptr = KBox<Counted>;

    fn open(&self, file: &File) -> Result<Self::Ptr> {
        // So that there is an open that fails.
        if file.flags() & kernel::fs::file::flags::O_NONBLOCK != 0 {
            return Err(EBUSY);
        }
        self.counters.opened.fetch_add(1, Relaxed);
        let counters = self.counters.clone();
        Ok(KBox::new(Counted { counters }, GFP_KERNEL)?)
    }

    fn read(
        &self,
        _counted: &Counted,
        _file: &LocalFile,
        buf: &mut UserSliceWriter,
        pos: &mut Offset,
    ) -> Result<usize> {
        let copy = *self.bytes.lock();
        let rest = copy.get(usize::try_from(*pos)?..).unwrap_or_default();
        let arrived = proc_fs::write_to_user(buf, rest)?;
        *pos = pos.saturating_add_unsigned(arrived as u64);
        Ok(arrived)
    }

    fn write(
        &self,
        _counted: &Counted,
        _file: &LocalFile,
        buf: &mut UserSliceReader,
        pos: &mut Offset,
    ) -> Result<usize> {
        let mut copy = [0; MEMORY];
        let offset = usize::try_from(*pos)?;
        let count = buf.len().min(MEMORY.saturating_sub(offset));
        let place = copy.get_mut(offset..).ok_or(ENOSPC)?;
        let place = place.get_mut(..count).ok_or(ENOSPC)?;
        if place.is_empty() && !buf.is_empty() {
            return Err(ENOSPC);
        }
        buf.read_slice(place)?;
        let mut bytes = self.bytes.lock();
        for (to, from) in bytes.iter_mut().zip(copy).skip(offset).take(count) {
            *to = from;
        }
        drop(bytes);
        *pos = pos.saturating_add_unsigned(count as u64);
        Ok(count)
    }

    fn lseek(
        &self,
        _counted: &Counted,
        _file: &LocalFile,
        offset: Offset,
        whence: Whence,
    ) -> Result<Offset> {
        match whence {
            Whence::Set => Ok(offset),
            Whence::End => offset.checked_add_unsigned(MEMORY as u64).ok_or(EOVERFLOW),
            Whence::Data => Ok(0),
            Whence::Hole => Ok(-1),
            Whence::Cur => Err(EINVAL),
        }
    }

    fn ioctl(&self, _counted: &Counted, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let user = UserSlice::new(UserPtr::from_addr(arg), size_of::<u64>());
        match cmd {
            LEN => Ok(MEMORY as isize),
            GET => user.writer().write(&self.number.load(Relaxed)).map(|()| 0),
            SET => {
                self.number.store(user.reader().read()?, Relaxed);
                Ok(0)
            }
            NEGATIVE => Ok(-1),
            _ => Err(ENOTTY),
        }
    }

    fn mmap(&self, _counted: &Counted, _file: &File, vma: &VmaNew) -> Result {
        vma.set_mixedmap().vm_insert_page(vma.start(), &self.page)
    }

    fn release(&self, counted: KBox<Counted>) {
        // Nothing was released before its time.
        if self.counters.opened.load(Relaxed) <= self.counters.released.load(Relaxed) {
            pr_err!("released more than was opened\n");
        }
        drop(counted);
    }
}

/// Reads as 10,000 bytes, by `read_iter`.
struct Stream;

impl Stream {
    const BYTES: &'static [u8] = &[b'x'; 10_000];
}

#[vtable]
impl proc_fs::Operations for Stream {
    type Ptr = ();

    const SEEK: Seek = Seek::Default;

    fn open(&self, _file: &File) -> Result {
        Ok(())
    }

    fn read_iter(&self, mut kiocb: Kiocb<'_, ()>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let pos = kiocb.ki_pos_mut();
        let rest = Self::BYTES
            .get(usize::try_from(*pos)?..)
            .unwrap_or_default();
        let arrived = proc_fs::write_to_iter(iov, rest)?;
        *pos = pos.saturating_add_unsigned(arrived as u64);
        Ok(arrived)
    }
}

/// Returns what no callback should.
struct Liar;

#[vtable]
impl proc_fs::Operations for Liar {
    type Ptr = ();

    const SEEK: Seek = Seek::Noop;

    fn open(&self, _file: &File) -> Result {
        Ok(())
    }

    fn read(
        &self,
        (): (),
        _file: &LocalFile,
        buf: &mut UserSliceWriter,
        pos: &mut Offset,
    ) -> Result<usize> {
        *pos = -1;
        Ok(buf.len().saturating_add(1))
    }

    fn write(
        &self,
        (): (),
        _file: &LocalFile,
        _buf: &mut UserSliceReader,
        pos: &mut Offset,
    ) -> Result<usize> {
        *pos = -1;
        Ok(usize::MAX)
    }
}

/// Says that it has written what it has not.
struct Spliced;

#[vtable]
impl proc_fs::Operations for Spliced {
    type Ptr = ();

    fn open(&self, _file: &File) -> Result {
        Ok(())
    }

    fn read_iter(&self, _kiocb: Kiocb<'_, ()>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let arrived = proc_fs::write_to_iter(iov, b"true")?;
        Ok(arrived.wrapping_add(iov.len().min(1)))
    }
}

/// Says that its reads and writes go on.
struct Queued;

impl proc_fs::Show for Queued {
    fn show(&self, _m: &SeqFile) -> Result {
        Err(EIOCBQUEUED)
    }
}

impl proc_fs::Store for Queued {
    fn store(&self, _buf: &mut UserSliceReader) -> Result {
        Err(EIOCBQUEUED)
    }
}

/// Has nothing but an `open`.
struct Bare;

#[vtable]
impl proc_fs::Operations for Bare {
    type Ptr = Arc<Counters>;

    fn open(&self, _file: &File) -> Result<Arc<Counters>> {
        Counters::new()
    }
}

struct Hello;

impl proc_fs::Show for Hello {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "Hello\n");
        Ok(())
    }
}

/// Prints more than a page, any byte, and then an error.
struct Bytes;

impl proc_fs::Show for Bytes {
    fn show(&self, m: &SeqFile) -> Result {
        for byte in 0..=u8::MAX {
            proc_fs::write_to_seq(m, &[byte; 100]);
        }
        Ok(())
    }
}

struct Fails;

impl proc_fs::Show for Fails {
    fn show(&self, _m: &SeqFile) -> Result {
        Err(ENXIO)
    }
}

struct Switch(Atomic<bool>);

impl proc_fs::Show for Switch {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "{}\n", if self.0.load(Relaxed) { "on" } else { "off" });
        Ok(())
    }
}

impl proc_fs::Store for Switch {
    fn store(&self, buf: &mut UserSliceReader) -> Result {
        let mut word = proc_fs::Bytes::<4>::default();
        word.read(buf)?;
        let on = match word.strip_suffix(b"\n").unwrap_or(&word) {
            b"on" => true,
            b"off" => false,
            _ => return Err(EINVAL),
        };
        self.0.store(on, Relaxed);
        Ok(())
    }
}

/// The even numbers below 1000.
struct Even;

impl proc_fs::SeqOperations for Even {
    fn next_at(&self, id: u64) -> Option<u64> {
        let id = id.checked_next_multiple_of(2)?;
        (id < 1000).then_some(id)
    }

    fn show(&self, id: u64, m: &SeqFile) -> Result {
        seq_print!(m, "{id}\n");
        Ok(())
    }
}

/// Items of all sizes, some of which are gone when they are to be printed, and an error at 90.
struct Uneven;

impl proc_fs::SeqOperations for Uneven {
    fn next_at(&self, id: u64) -> Option<u64> {
        match id {
            0..10 => Some(10),
            10..100 => Some(id),
            // No id of a list: it ends here.
            _ => Some(u64::MAX),
        }
    }

    fn show(&self, id: u64, m: &SeqFile) -> Result {
        match id {
            90 => Err(ENXIO),
            // Gone.
            _ if id % 3 == 0 => Ok(()),
            _ => {
                for _ in 0..id {
                    proc_fs::write_to_seq(m, &[b'0'.wrapping_add((id % 10) as u8); 100]);
                }
                proc_fs::write_to_seq(m, b"\n");
                Ok(())
            }
        }
    }
}

/// Removes a file when it is written to.
#[pin_data]
struct Remove {
    #[pin]
    file: Mutex<Option<Pin<KBox<proc_fs::File<Memory>>>>>,
}

impl proc_fs::Store for Remove {
    fn store(&self, _buf: &mut UserSliceReader) -> Result {
        // Without the lock, so that a second writer does not wait for the first one's callbacks.
        let file = self.file.lock().take();
        file.map(drop).ok_or(ENOENT)
    }
}

/// Prints what came of names and options that are none, and of names that were taken.
struct Names(KVec<(&'static str, Result)>);

impl proc_fs::Show for Names {
    fn show(&self, m: &SeqFile) -> Result {
        for (case, result) in self.0.iter() {
            seq_print!(
                m,
                "{case} {}\n",
                result.map_or_else(Error::to_errno, |()| 0)
            );
        }
        Ok(())
    }
}

impl Names {
    fn new() -> Result<Self> {
        let root = Dir::root()?;
        let ours = root.subdir(c"proc_fs_names", Mode::new::<0o500>())?;
        let mut long = [b'n'; 257];
        long[256] = 0;
        let too_long = CStr::from_bytes_with_nul(&long).map_err(|_| EIO)?;
        let longest = CStr::from_bytes_with_nul(&long[1..]).map_err(|_| EIO)?;
        let hello = |dir: &Dir, name: &CStr| {
            let file = KBox::pin_init(proc_fs::File::show(dir, name, READ_ONLY, Hello), GFP_KERNEL);
            file.map(|_file| ())
        };
        let owned = |uid, gid| {
            let options = Options::new(READ_ONLY).owner(uid, gid);
            let file = proc_fs::File::show(&ours, c"owned", options, Hello);
            KBox::pin_init(file, GFP_KERNEL).map(|_file| ())
        };

        let mut cases = KVec::new();
        let mut case = |name, result| cases.push((name, result), GFP_KERNEL);
        case("empty", hello(&ours, c""))?;
        case("dot", hello(&ours, c"."))?;
        case("dots", hello(&ours, c".."))?;
        case("slash", hello(&ours, c"a/b"))?;
        case("slash_alone", hello(&ours, c"/"))?;
        case("too_long", hello(&ours, too_long))?;
        case("longest", hello(&ours, longest))?;
        case("longest_in_driver", hello(&Dir::driver()?, longest))?;
        case("number_at_the_root", hello(&root, c"1234567"))?;
        case("number_elsewhere", hello(&ours, c"1"))?;
        case("three_dots", hello(&ours, c"..."))?;
        case("not_utf8", hello(&ours, c"\xff\n"))?;
        let taken = proc_fs::File::show(&ours, c"taken", READ_ONLY, Hello);
        let taken = KBox::pin_init(taken, GFP_KERNEL)?;
        case("taken", hello(&ours, c"taken"))?;
        case(
            "taken_for_a_directory",
            ours.subdir(c"taken", Mode::new::<0o555>()).map(drop),
        )?;
        case(
            "taken_for_a_link",
            Symlink::new(&ours.clone(), c"taken", c"x").map(drop),
        )?;
        drop(taken);
        case("free_again", hello(&ours, c"taken"))?;
        case("no_user", owned(u32::MAX, 0))?;
        case("no_group", owned(0, u32::MAX))?;
        case(
            "link_to_nothing",
            Symlink::new(&ours, c"link", c"").map(drop),
        )?;
        case("failed_initialiser", {
            let never = Err::<NeverMade, Error>(EIO);
            let fails = proc_fs::File::<NeverMade>::show(&ours, c"fails", READ_ONLY, never);
            KBox::pin_init(fails, GFP_KERNEL).map(|_file| ())
        })?;
        case("after_it", hello(&ours, c"fails"))?;
        case("data", {
            let file = proc_fs::File::list(&ours, c"even", READ_ONLY, Even);
            let file = KBox::pin_init(file, GFP_KERNEL)?;
            let even = file.data();
            let next = proc_fs::SeqOperations::next_at(even, 3);
            if next == Some(4) {
                Ok(())
            } else {
                Err(EIO)
            }
        })?;
        Ok(Self(cases))
    }
}

/// Is never made: its initialiser fails.
struct NeverMade;

impl proc_fs::Show for NeverMade {
    fn show(&self, _m: &SeqFile) -> Result {
        Ok(())
    }
}

#[pin_data]
struct Test {
    #[pin]
    hello: proc_fs::File<Hello>,
    #[pin]
    bytes: proc_fs::File<Bytes>,
    #[pin]
    fails: proc_fs::File<Fails>,
    #[pin]
    switch: proc_fs::File<Switch>,
    #[pin]
    write_only: proc_fs::File<Switch>,
    #[pin]
    even: proc_fs::File<Even>,
    #[pin]
    uneven: proc_fs::File<Uneven>,
    #[pin]
    memory: proc_fs::File<Memory>,
    #[pin]
    stream: proc_fs::File<Stream>,
    #[pin]
    liar: proc_fs::File<Liar>,
    #[pin]
    spliced: proc_fs::File<Spliced>,
    #[pin]
    queued: proc_fs::File<Queued>,
    #[pin]
    bare: proc_fs::File<Bare>,
    #[pin]
    owned: proc_fs::File<Hello>,
    #[pin]
    deep: proc_fs::File<Hello>,
    #[pin]
    in_driver: proc_fs::File<Hello>,
    link: Symlink,
    #[pin]
    counters: proc_fs::File<ShowCounters>,
    #[pin]
    names: proc_fs::File<Names>,
    #[pin]
    remove: proc_fs::File<Remove>,
    last: Last,
}

/// Fails to be initialised, if the parameter says so, when all the rest is there.
struct Last;

impl Last {
    fn new() -> Result<Self> {
        if shared::compat::parameter::<u64>(module_parameters::collide.value()) == 1 {
            let cmdline = proc_fs::File::show(&Dir::root()?, c"cmdline", READ_ONLY, Hello);
            KBox::pin_init(cmdline, GFP_KERNEL)?;
        }
        if shared::compat::parameter::<u64>(module_parameters::forget.value()) == 1 {
            let forgotten = Dir::root()?.subdir(c"proc_fs_forgotten", Mode::new::<0o555>())?;
            core::mem::forget(Symlink::new(&forgotten, c"link", c"target")?);
            core::mem::forget(forgotten);
        }
        if shared::compat::parameter::<u64>(module_parameters::fail.value()) == 1 {
            return Err(EIO);
        }
        Ok(Self)
    }
}

impl kernel::InPlaceModule for Test {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let dir = Dir::root()?.subdir(c"proc_fs_test", Mode::new::<0o555>())?;
            let options = Options::new(Mode::new::<0o500>()).owner(1000, 100);
            let a = dir.subdir(c"a", Mode::new::<0o555>())?;
            let b = a.subdir(c"b", options)?;
            let driver = Dir::driver()?.subdir(c"proc_fs_test", Mode::new::<0o555>())?;
            let counters = Counters::new()?;
            // It is removed by itself, before the others.
            let memory = Memory::new(&counters);
            let removable = proc_fs::File::new(&dir, c"removable", READ_WRITE, memory);
            let removable = KBox::pin_init(removable, GFP_KERNEL)?;
            let off = || Switch(Atomic::new(false));
            let owned = Options::new(Mode::new::<0o640>())
                .owner(1000, 100)
                .size(12_345);
            let sized = Options::new(READ_ONLY).size(10_000);
            let secret = Mode::new::<0o200>();

            Ok(try_pin_init!(Self {
                hello <- proc_fs::File::show(&dir, c"hello", READ_ONLY, Hello),
                bytes <- proc_fs::File::show(&dir, c"bytes", READ_ONLY, Bytes),
                fails <- proc_fs::File::show(&dir, c"fails", READ_ONLY, Fails),
                switch <- proc_fs::File::show_and_store(&dir, c"switch", READ_WRITE, off()),
                write_only <- proc_fs::File::store(&dir, c"write_only", secret, off()),
                even <- proc_fs::File::list(&dir, c"even", READ_ONLY, Even),
                uneven <- proc_fs::File::list(&dir, c"uneven", READ_ONLY, Uneven),
                memory <- {
                    let memory = Memory::new(&counters);
                    proc_fs::File::new(&dir, c"memory", READ_WRITE, memory)
                },
                stream <- proc_fs::File::new(&dir, c"stream", sized, Stream),
                liar <- proc_fs::File::new(&dir, c"liar", READ_WRITE, Liar),
                spliced <- proc_fs::File::new(&dir, c"spliced", READ_ONLY, Spliced),
                queued <- proc_fs::File::show_and_store(&dir, c"queued", READ_WRITE, Queued),
                bare <- proc_fs::File::new(&dir, c"bare", READ_WRITE, Bare),
                owned <- proc_fs::File::show(&dir, c"owned", owned, Hello),
                deep <- proc_fs::File::show(&b, c"deep", READ_ONLY, Hello),
                in_driver <- proc_fs::File::show(&driver, c"hello", READ_ONLY, Hello),
                link: Symlink::new(&dir, c"link", c"a/b/deep")?,
                counters <- proc_fs::File::show(
                    &dir,
                    c"counters",
                    READ_ONLY,
                    ShowCounters(counters.clone()),
                ),
                names <- proc_fs::File::show(&dir, c"names", READ_ONLY, Names::new()?),
                remove <- proc_fs::File::store(&dir, c"remove", secret, pin_init!(Remove {
                    file <- new_mutex!(Some(removable)),
                })),
                last: Last::new()?,
            }))
        })
    }
}
