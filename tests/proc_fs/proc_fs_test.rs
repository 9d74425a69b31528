// SPDX-License-Identifier: GPL-2.0

//! A module with an entry of every kind in `/proc/proc_fs_test`, without a line of unsafe code.
//!
//! tests/guest/src/proc_fs.rs says what each has to do. The examples in the documentation of `proc_fs`
//! are here too, so that they are known to compile and to work.

#[path = "../../src/compat.rs"]
pub mod compat;
#[path = "../../src/proc_fs/mod.rs"]
pub mod proc_fs;

use kernel::{
    fs::{
        file::Offset,
        LocalFile, //
    },
    ioctl::{
        _IO,
        _IOR,
        _IOW, //
    },
    new_mutex,
    prelude::*,
    static_lock_class,
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
        UserSlice, //
    }, //
};
use proc_fs::{
    Dir,
    File,
    FileBox,
    IterWriter,
    Mapping,
    Mode,
    Options,
    Seek,
    SeqWriter,
    Symlink,
    UserReader,
    UserWriter,
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
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        let (opened, released) = (self.0.opened.load(Relaxed), self.0.released.load(Relaxed));
        writeln!(m, "{opened} {released}")
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
    bytes: proc_fs::Mutex<[u8; MEMORY]>,
    number: Atomic<u64>,
    page: proc_fs::Page,
}

impl Memory {
    fn new(counters: &Arc<Counters>) -> impl PinInit<Self, Error> {
        let counters = counters.clone();
        try_pin_init!(Self {
            counters,
            bytes <- proc_fs::Mutex::new([0; MEMORY], c"bytes", static_lock_class!()),
            number: Atomic::new(0),
            page: proc_fs::Page::zeroed(GFP_KERNEL)?,
        })
    }
}

#[vtable]
impl proc_fs::Operations for Memory {
    type Ptr = FileBox<Counted>;

    fn open(&self, file: &LocalFile) -> Result<Self::Ptr> {
        // So that there is an open that fails.
        if file.flags() & kernel::fs::file::flags::O_NONBLOCK != 0 {
            return Err(EBUSY);
        }
        self.counters.opened.fetch_add(1, Relaxed);
        let counters = self.counters.clone();
        Ok(FileBox::new(Counted { counters }, GFP_KERNEL)?)
    }

    fn read(&self, _counted: &Counted, buf: &mut UserWriter<'_>, pos: &mut Offset) -> Result {
        let copy = *self.bytes.lock();
        buf.simple_read_from_buffer(pos, &copy)
    }

    fn write(
        &self,
        _counted: &Counted,
        buf: &mut UserReader<'_>,
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
        buf.read(place)?;
        let mut bytes = self.bytes.lock_killable()?;
        for (to, from) in bytes.iter_mut().zip(copy).skip(offset).take(count) {
            *to = from;
        }
        drop(bytes);
        *pos = pos.saturating_add_unsigned(count as u64);
        Ok(count)
    }

    fn lseek(&self, _: &Counted, pos: Offset, offset: Offset, whence: Whence) -> Result<Offset> {
        match whence {
            Whence::Set => Ok(offset),
            Whence::End => offset.checked_add_unsigned(MEMORY as u64).ok_or(EOVERFLOW),
            Whence::Data => Ok(0),
            Whence::Hole => Ok(-1),
            Whence::Cur => pos.checked_add(offset).ok_or(EOVERFLOW),
        }
    }

    fn ioctl(&self, _counted: &Counted, cmd: u32, arg: usize) -> Result<isize> {
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

    fn mmap(&self, _counted: &Counted, mapping: &mut Mapping<'_>) -> Result {
        mapping.insert(0, &self.page)
    }

    fn release(&self, counted: FileBox<Counted>) {
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

    fn open(&self, _file: &LocalFile) -> Result {
        Ok(())
    }

    fn read_iter(&self, (): (), buf: &mut IterWriter<'_>, pos: &mut Offset) -> Result {
        buf.simple_read_from_buffer(pos, Self::BYTES)
    }
}

/// Seeks without moving.
struct Noop;

#[vtable]
impl proc_fs::Operations for Noop {
    type Ptr = ();

    const SEEK: Seek = Seek::Noop;

    fn open(&self, _file: &LocalFile) -> Result {
        Ok(())
    }
}

/// Has nothing but an `open`.
struct Bare;

#[vtable]
impl proc_fs::Operations for Bare {
    type Ptr = Arc<Counters>;

    fn open(&self, _file: &LocalFile) -> Result<Arc<Counters>> {
        Counters::new()
    }
}

struct Hello;

impl proc_fs::Show for Hello {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        writeln!(m, "Hello")
    }
}

/// Prints more than a page, any byte, and then an error.
struct Bytes;

impl proc_fs::Show for Bytes {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        for byte in 0..=u8::MAX {
            m.write(&[byte; 100])?;
        }
        Ok(())
    }
}

struct Fails;

impl proc_fs::Show for Fails {
    fn show(&self, _m: &mut SeqWriter<'_>) -> Result {
        Err(ENXIO)
    }
}

struct Switch(Atomic<bool>);

impl proc_fs::Store for Switch {
    fn store(&self, buf: &mut UserReader<'_>) -> Result {
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

impl proc_fs::Show for Switch {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        writeln!(m, "{}", if self.0.load(Relaxed) { "on" } else { "off" })
    }
}

/// The even numbers below 1000.
struct Even;

impl proc_fs::List for Even {
    fn next_at(&self, id: u64) -> Option<u64> {
        let id = id.checked_next_multiple_of(2)?;
        (id < 1000).then_some(id)
    }

    fn show(&self, id: u64, m: &mut SeqWriter<'_>) -> Result {
        writeln!(m, "{id}")
    }
}

/// Items of all sizes, some of which are gone when they are to be printed, and an error at 90.
struct Uneven;

impl proc_fs::List for Uneven {
    fn next_at(&self, id: u64) -> Option<u64> {
        match id {
            0..10 => Some(10),
            10..100 => Some(id),
            // No id of a list: it ends here.
            _ => Some(u64::MAX),
        }
    }

    fn show(&self, id: u64, m: &mut SeqWriter<'_>) -> Result {
        match id {
            90 => Err(ENXIO),
            // Gone.
            _ if id % 3 == 0 => Ok(()),
            _ => {
                for _ in 0..id {
                    m.write(&[b'0'.wrapping_add((id % 10) as u8); 100])?;
                }
                m.write(b"\n")
            }
        }
    }
}

/// Removes a file when it is written to.
#[pin_data]
struct Remove {
    #[pin]
    file: Mutex<Option<File<Memory>>>,
}

impl proc_fs::Store for Remove {
    fn store(&self, _buf: &mut UserReader<'_>) -> Result {
        // Without the lock, so that a second writer does not wait for the first one's callbacks.
        let file = self.file.lock().take();
        file.map(drop).ok_or(ENOENT)
    }
}

/// Prints what came of names and options that are none.
struct Names(KVec<(&'static str, Result)>);

impl proc_fs::Show for Names {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        for (case, result) in self.0.iter() {
            let errno = result.map_or_else(Error::to_errno, |()| 0);
            writeln!(m, "{case} {errno}")?;
        }
        Ok(())
    }
}

impl Names {
    fn new() -> Result<Self> {
        let root = Dir::root();
        let ours = root.subdir(c"proc_fs_names", Mode::new::<0o500>())?;
        let mut long = [b'n'; 257];
        long[256] = 0;
        let too_long = CStr::from_bytes_with_nul(&long).map_err(|_| EIO)?;
        let longest = CStr::from_bytes_with_nul(&long[1..]).map_err(|_| EIO)?;
        // A path has 4095 bytes at most.
        let mut long = KVec::from_elem(b'p', 4097, GFP_KERNEL)?;
        long[4096] = 0;
        let long_path = CStr::from_bytes_with_nul(&long).map_err(|_| EIO)?;
        let longest_path = CStr::from_bytes_with_nul(&long[1..]).map_err(|_| EIO)?;
        let hello = |dir: &Dir, name: &CStr| dir.show(name, READ_ONLY, Hello).map(drop);
        let link = |target: &CStr| ours.symlink(c"link", target).map(drop);
        let owned = |uid, gid| {
            let options = Options::new(READ_ONLY).owner(uid, gid);
            ours.show(c"owned", options, Hello).map(drop)
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
        case("longest_in_driver", hello(&Dir::driver(), longest))?;
        case("number_at_the_root", hello(&root, c"1234567"))?;
        case("number_elsewhere", hello(&ours, c"1"))?;
        case("three_dots", hello(&ours, c"..."))?;
        case("not_utf8", hello(&ours, c"\xff\n"))?;
        case("slash_in_a_directory", {
            ours.subdir(c"a/b", Mode::new::<0o555>()).map(drop)
        })?;
        case("slash_in_a_link", ours.symlink(c"a/b", c"x").map(drop))?;
        case("twice_one_after_the_other", {
            hello(&ours, c"hello").and_then(|()| hello(&ours, c"hello"))
        })?;
        case("no_user", owned(u32::MAX, 0))?;
        case("no_group", owned(0, u32::MAX))?;
        case("link_to_nothing", link(c""))?;
        case("link_of_a_byte", link(c"x"))?;
        case("link_of_4095_bytes", link(longest_path))?;
        case("link_of_4096_bytes", link(long_path))?;
        case("failed_initialiser", {
            let never = Err::<NeverMade, Error>(EIO);
            ours.show(c"fails", READ_ONLY, never)
                .map(drop::<File<NeverMade>>)
        })?;
        case("after_it", hello(&ours, c"fails"))?;
        case("data", {
            let file = ours.list(c"even", READ_ONLY, Even)?;
            let even = file.data();
            if proc_fs::List::next_at(even, 3) == Some(4) {
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
    fn show(&self, _m: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

/// All there is.
struct Test {
    _hello: File<Hello>,
    _bytes: File<Bytes>,
    _fails: File<Fails>,
    _switch: File<Switch>,
    _write_only: File<Switch>,
    _even: File<Even>,
    _uneven: File<Uneven>,
    _memory: File<Memory>,
    _stream: File<Stream>,
    _noop: File<Noop>,
    _bare: File<Bare>,
    _owned: File<Hello>,
    _deep: File<Hello>,
    _in_driver: File<Hello>,
    _link: Symlink,
    _counters: File<ShowCounters>,
    _names: File<Names>,
    _remove: File<Remove>,
}

impl kernel::Module for Test {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let dir = Dir::root().subdir(c"proc_fs_test", Mode::new::<0o555>())?;
        let driver = Dir::driver().subdir(c"proc_fs_test", Mode::new::<0o555>())?;
        let options = Options::new(Mode::new::<0o500>()).owner(1000, 100);
        let a = dir.subdir(c"a", Mode::new::<0o555>())?;
        let b = a.subdir(c"b", options)?;
        let counters = Counters::new()?;
        // It is removed by itself, before the others.
        let removable = dir.file(c"removable", READ_WRITE, Memory::new(&counters))?;
        let off = || Switch(Atomic::new(false));
        let owned = Options::new(Mode::new::<0o640>())
            .owner(1000, 100)
            .size(12_345);
        let sized = Options::new(READ_ONLY).size(10_000);
        let secret = Mode::new::<0o200>();

        let test = Self {
            _hello: dir.show(c"hello", READ_ONLY, Hello)?,
            _bytes: dir.show(c"bytes", READ_ONLY, Bytes)?,
            _fails: dir.show(c"fails", READ_ONLY, Fails)?,
            _switch: dir.show_and_store(c"switch", READ_WRITE, off())?,
            _write_only: dir.store(c"write_only", secret, off())?,
            _even: dir.list(c"even", READ_ONLY, Even)?,
            _uneven: dir.list(c"uneven", READ_ONLY, Uneven)?,
            _memory: dir.file(c"memory", READ_WRITE, Memory::new(&counters))?,
            _stream: dir.file(c"stream", sized, Stream)?,
            _noop: dir.file(c"noop", READ_WRITE, Noop)?,
            _bare: dir.file(c"bare", READ_WRITE, Bare)?,
            _owned: dir.show(c"owned", owned, Hello)?,
            _deep: b.show(c"deep", READ_ONLY, Hello)?,
            _in_driver: driver.show(c"hello", READ_ONLY, Hello)?,
            _link: dir.symlink(c"link", c"a/b/deep")?,
            _counters: dir.show(c"counters", READ_ONLY, ShowCounters(counters))?,
            _names: dir.show(c"names", READ_ONLY, Names::new()?)?,
            _remove: dir.store(
                c"remove",
                secret,
                pin_init!(Remove {
                    file <- new_mutex!(Some(removable)),
                }),
            )?,
        };
        // So that there is an initialisation that fails when all is there.
        match compat::parameter::<u64>(module_parameters::fail.value()) {
            0 => Ok(test),
            _ => Err(EIO),
        }
    }
}
