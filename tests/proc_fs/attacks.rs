// SPDX-License-Identifier: GPL-2.0

//! A module that does the worst to `proc_fs` that safe code can: attacks.md lists what, and what comes of it.
//!
//! Each file of `/proc/proc_fs_attacks` is an attack, made by whoever reads it, writes it, opens it, …:
//! tests/guest/src/attacks.rs does, and says what has to come of it.

#[path = "../../src/compat.rs"]
pub mod compat;
#[path = "../../src/proc_fs/mod.rs"]
pub mod proc_fs;

use core::{
    fmt,
    mem::{
        self,
        ManuallyDrop,
        MaybeUninit, //
    },
};
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        __GFP_ZERO, //
    },
    fs::{
        file::Offset,
        LocalFile, //
    },
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::Opaque,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};
use pin_init::Wrapper;
use proc_fs::{
    Bytes,
    Dir,
    File,
    FileBox,
    IterWriter,
    List,
    Mapping,
    Mode,
    Operations,
    Page,
    SeqWriter,
    Show,
    Store,
    Symlink,
    UserReader,
    UserWriter,
    Whence, //
};

module! {
    type: Attacks,
    name: "proc_fs_attacks",
    authors: ["The fortune.ko authors"],
    description: "What safe code may do to proc_fs, in /proc/proc_fs_attacks",
    license: "GPL",
    params: {
        name: u64 {
            default: 0,
            description: "1: make an entry of a name of the kernel's; 2: make two of one name; 3: link it",
        },
        forget: u64 {
            default: 0,
            description: "1: forget entries in every way, and never unload it then; 2: of those without functions",
        },
    },
}

const READ: Mode = Mode::new::<0o444>();
const WRITE: Mode = Mode::new::<0o200>();
const BOTH: Mode = Mode::new::<0o644>();
const DIRECTORY: Mode<proc_fs::Directory> = Mode::new::<0o555>();

/// Says that it can't be printed.
struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

#[derive(Clone, Copy)]
struct Shown(fn(&mut SeqWriter<'_>) -> Result);

impl Show for Shown {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        (self.0)(m)
    }
}

const SHOWN: &[(&CStr, Shown)] = &[
    (c"show_eagain", Shown(|_| Err(EAGAIN))),
    (c"show_queued", Shown(|_| Err(EIOCBQUEUED))),
    (
        c"show_and_fail",
        Shown(|m| {
            m.write(b"lost")?;
            Err(ENXIO)
        }),
    ),
    // More than a page before it fails: the overflow is not taken for the error.
    (
        c"show_much_and_fail",
        Shown(|m| {
            m.write(&[b'x'; 4000])?;
            m.write(&[b'x'; 4000])?;
            Err(ENXIO)
        }),
    ),
    (
        c"show_for_ever",
        Shown(|m| loop {
            m.write(&[b'x'; 4096])?;
        }),
    ),
    // The same without a look at what came of it.
    (
        c"show_too_much",
        Shown(|m| {
            for _ in 0..2000 {
                let _ = m.write(&[b'x'; 4096]);
            }
            Ok(())
        }),
    ),
    (c"show_unprintable", Shown(|m| write!(m, "{Unprintable}"))),
    (
        c"show_after_unprintable",
        Shown(|m| {
            let _ = write!(m, "one {Unprintable} two");
            writeln!(m, "three")
        }),
    ),
    (c"show_a_page", Shown(|m| m.write(&[b'x'; 4096]))),
    (c"show_nothing", Shown(|_| Ok(()))),
];

#[derive(Clone, Copy)]
struct Listed {
    next_at: fn(u64) -> Option<u64>,
    show: fn(u64, &mut SeqWriter<'_>) -> Result,
}

impl List for Listed {
    fn next_at(&self, id: u64) -> Option<u64> {
        (self.next_at)(id)
    }

    fn show(&self, id: u64, m: &mut SeqWriter<'_>) -> Result {
        (self.show)(id, m)
    }
}

const fn listed(
    name: &CStr,
    next_at: fn(u64) -> Option<u64>,
    show: fn(u64, &mut SeqWriter<'_>) -> Result,
) -> (&CStr, Listed) {
    (name, Listed { next_at, show })
}

const LISTED: &[(&CStr, Listed)] = &[
    listed(c"list_eagain", Some, |id, m| match id {
        3 => Err(EAGAIN),
        _ => writeln!(m, "{id}"),
    }),
    listed(c"list_of_nothings", Some, |_, _| Ok(())),
    listed(c"list_for_ever", Some, |_, m| m.write(b"x")),
    listed(
        c"list_backwards",
        |id| Some(id.saturating_sub(1)),
        |id, m| writeln!(m, "{id}"),
    ),
    listed(
        c"list_to_the_last",
        |id| Some(id.max(i64::MAX as u64 - 1)),
        |id, m| writeln!(m, "{id}"),
    ),
    listed(
        c"list_beyond",
        |_| Some(u64::MAX),
        |id, m| writeln!(m, "{id}"),
    ),
    listed(c"list_an_endless_item", Some, |_, m| loop {
        m.write(&[b'x'; 4096])?;
    }),
];

/// Boxes of some sizes, with the flags by which they are made in another way and with others: they are as aligned as
/// what is in them, hold what was put there, and are zeroes where that was asked for.
fn boxes() -> Result {
    #[repr(align(256))]
    struct Aligned([u8; 256]);

    let user = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
    for flags in [user, user | __GFP_ZERO, GFP_KERNEL, GFP_KERNEL | __GFP_ZERO] {
        drop(FileBox::new((), flags)?);
        let number = FileBox::new(0xfeed, flags)?;
        let aligned = FileBox::new(Aligned([1; 256]), flags)?;
        let mut zeroed = FileBox::<[u8; 3000]>::zeroed(flags)?;
        if *number != 0xfeed || aligned.0 != [1; 256] || zeroed.iter().any(|&byte| byte != 0) {
            return Err(ENXIO);
        }
        if &raw const *aligned as usize % 256 != 0 {
            return Err(ENXIO);
        }
        // The next one that is there begins with these.
        *zeroed = [0xff; 3000];
        drop(number);
    }
    // Nobody has so much.
    match FileBox::<MaybeUninit<[u8; 1 << 40]>>::new_uninit(user) {
        Ok(_) => Err(ENXIO),
        Err(_) => Ok(()),
    }
}

/// What an open file does; nothing, if it is none of these.
#[derive(Clone, Copy)]
enum Done {
    Open(fn(&LocalFile) -> Result),
    Write(fn(&mut UserReader<'_>, &mut Offset) -> Result<usize>),
    Lseek(fn(Offset) -> Result<Offset>),
    Ioctl(fn(usize) -> Result<isize>),
    Mmap(fn(&mut Mapping<'_>) -> Result),
}

#[vtable]
impl Operations for Done {
    type Ptr = KBox<u64>;

    fn open(&self, file: &LocalFile) -> Result<Self::Ptr> {
        if let Self::Open(open) = self {
            open(file)?;
        }
        Ok(KBox::new(0xfeed, GFP_KERNEL)?)
    }

    fn write(&self, _: &u64, buf: &mut UserReader<'_>, pos: &mut Offset) -> Result<usize> {
        match self {
            Self::Write(write) => write(buf, pos),
            _ => Err(EBADF),
        }
    }

    fn lseek(&self, _: &u64, _: Offset, offset: Offset, _: Whence) -> Result<Offset> {
        match self {
            Self::Lseek(lseek) => lseek(offset),
            _ => Err(EBADF),
        }
    }

    fn ioctl(&self, number: &u64, _: u32, arg: usize) -> Result<isize> {
        match self {
            Self::Ioctl(ioctl) => ioctl(arg),
            // What `open` has made, or the kernel reads what is not there.
            _ => Ok(*number as isize),
        }
    }

    fn mmap(&self, _: &u64, mapping: &mut Mapping<'_>) -> Result {
        match self {
            Self::Mmap(mmap) => mmap(mapping),
            _ => Err(EBADF),
        }
    }
}

fn new_page() -> Result<Page> {
    Page::zeroed(GFP_KERNEL)
}

const DONE: &[(&CStr, Done)] = &[
    // A reference to a file that is not to be opened, for ever.
    (
        c"open_kept",
        Done::Open(|file| {
            mem::forget(ARef::from(file));
            Err(EBUSY)
        }),
    ),
    (
        c"open_kept_and_opened",
        Done::Open(|file| {
            mem::forget(ARef::from(file));
            Ok(())
        }),
    ),
    (
        c"open_slowly",
        Done::Open(|_| {
            fsleep(Delta::from_millis(300));
            Ok(())
        }),
    ),
    (c"open_stale", Done::Open(|_| Err(EOPENSTALE))),
    (c"open_with_boxes", Done::Open(|_| boxes())),
    (c"write_claims", Done::Write(|_, _| Ok(usize::MAX))),
    (
        c"write_to_a_negative_place",
        Done::Write(|buf, pos| {
            if *pos < 0 {
                pr_err!("attack: called at {}\n", *pos);
            }
            *pos = -1;
            Ok(buf.len())
        }),
    ),
    (c"write_queued", Done::Write(|_, _| Err(EIOCBQUEUED))),
    (
        c"write_reads_too_much",
        Done::Write(|buf, _| {
            buf.read(&mut [0; 100])?;
            Ok(100)
        }),
    ),
    // Again what was read already.
    (
        c"write_reads_twice",
        Done::Write(|buf, _| {
            let mut word = [0; 4];
            buf.read(&mut word)?;
            buf.read(&mut word)?;
            Ok(8)
        }),
    ),
    (
        c"write_reads_after_a_fault",
        Done::Write(|buf, _| {
            let mut one = [0; 1];
            let (len, failed) = (buf.len(), buf.read(&mut [0; 8]).is_err());
            if !failed || buf.len() != len {
                return Err(EIO);
            }
            buf.read(&mut one)?;
            Ok(one[0].into())
        }),
    ),
    (c"seek_before", Done::Lseek(|_| Ok(-1))),
    (c"seek_far_before", Done::Lseek(|_| Ok(Offset::MIN))),
    (c"seek_to_the_last", Done::Lseek(|_| Ok(Offset::MAX))),
    (c"ioctl_least", Done::Ioctl(|_| Ok(isize::MIN))),
    // Wherever user space says.
    (
        c"ioctl_reads",
        Done::Ioctl(|arg| {
            let user = UserSlice::new(UserPtr::from_addr(arg), 8);
            user.reader().read::<u64>().map(|_| 0)
        }),
    ),
    (
        c"mmap_beyond",
        Done::Mmap(|m| m.insert(m.size(), &new_page()?)),
    ),
    (
        c"mmap_far_beyond",
        Done::Mmap(|m| m.insert(0_usize.wrapping_sub(4096), &new_page()?)),
    ),
    (c"mmap_between", Done::Mmap(|m| m.insert(1, &new_page()?))),
    (
        c"mmap_twice",
        Done::Mmap(|m| {
            m.insert(0, &new_page()?)?;
            m.insert(0, &new_page()?)
        }),
    ),
    (
        c"mmap_and_fail",
        Done::Mmap(|m| {
            m.insert(0, &new_page()?)?;
            Err(ENXIO)
        }),
    ),
    // The page is dropped when this returns.
    (c"mmap_dropped", Done::Mmap(|m| m.insert(0, &new_page()?))),
    (
        c"mmap_read_only",
        Done::Mmap(|m| {
            m.forbid_writing()?;
            m.insert(0, &new_page()?)
        }),
    ),
];

#[derive(Clone, Copy)]
struct Read(fn(&mut UserWriter<'_>, &mut Offset) -> Result);

#[vtable]
impl Operations for Read {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result {
        Ok(())
    }

    fn read(&self, (): (), buf: &mut UserWriter<'_>, pos: &mut Offset) -> Result {
        (self.0)(buf, pos)
    }
}

const READS: &[(&CStr, Read)] = &[
    (
        c"read_to_a_negative_place",
        Read(|buf, pos| {
            if *pos < 0 {
                pr_err!("attack: called at {}\n", *pos);
            }
            *pos = -1;
            buf.write(b"x").map(drop)
        }),
    ),
    (
        c"read_to_the_last_place",
        Read(|buf, pos| {
            if *pos != Offset::MAX {
                buf.write(b"x")?;
            }
            *pos = Offset::MAX;
            buf.simple_read_from_buffer(pos, b"never")
        }),
    ),
    (c"read_queued", Read(|_, _| Err(EIOCBQUEUED))),
    (
        c"read_nothing",
        Read(|_, pos| {
            *pos = 10;
            Ok(())
        }),
    ),
    (
        c"read_more",
        Read(|buf, _| {
            buf.write(&[b'x'; 1000])?;
            buf.write(&[b'y'; 1000]).map(drop)
        }),
    ),
    (
        c"read_in_pieces",
        Read(|buf, pos| {
            for _ in 0..100 {
                *pos = pos.saturating_add_unsigned(buf.write(b"x")? as u64);
            }
            Ok(())
        }),
    ),
    // Goes on after a fault, as if there had been none.
    (
        c"read_after_a_fault",
        Read(|buf, _| {
            for _ in 0..100 {
                let _ = buf.write(b"12345678");
            }
            Ok(())
        }),
    ),
];

#[derive(Clone, Copy)]
struct ReadIter(fn(&mut IterWriter<'_>, &mut Offset) -> Result);

#[vtable]
impl Operations for ReadIter {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result {
        Ok(())
    }

    fn read_iter(&self, (): (), buf: &mut IterWriter<'_>, pos: &mut Offset) -> Result {
        (self.0)(buf, pos)
    }
}

const READ_ITERS: &[(&CStr, ReadIter)] = &[
    (
        c"iter_little",
        ReadIter(|buf, _| buf.write(b"true").map(drop)),
    ),
    (
        c"iter_nothing",
        ReadIter(|_, pos| {
            *pos = 10;
            Ok(())
        }),
    ),
    (
        c"iter_to_a_negative_place",
        ReadIter(|buf, pos| {
            *pos = -1;
            buf.write(b"x").map(drop)
        }),
    ),
    (c"iter_queued", ReadIter(|_, _| Err(EIOCBQUEUED))),
    (
        c"iter_and_fail",
        ReadIter(|buf, _| {
            buf.write(b"lost")?;
            Err(ENXIO)
        }),
    ),
    (
        c"iter_in_pieces",
        ReadIter(|buf, pos| {
            while buf.room() > 0 {
                *pos = pos.saturating_add_unsigned(buf.write(b"12345")? as u64);
            }
            Ok(())
        }),
    ),
];

#[derive(Clone, Copy)]
struct Stored(fn(&mut UserReader<'_>) -> Result);

impl Store for Stored {
    fn store(&self, buf: &mut UserReader<'_>) -> Result {
        (self.0)(buf)
    }
}

const STORED: &[(&CStr, Stored)] = &[
    (c"store_queued", Stored(|_| Err(EIOCBQUEUED))),
    (c"store_unread", Stored(|_| Ok(()))),
    // As deep as is written there, made and dropped.
    (
        c"dirs",
        Stored(|buf| {
            let mut dir = Dir::root().subdir(c"proc_fs_depth", DIRECTORY)?;
            for _ in 1..number(buf)? {
                dir = dir.subdir(c"d", DIRECTORY)?;
            }
            Ok(())
        }),
    ),
    // Handles that go before what is in them, and after.
    (
        c"dirs_in_disorder",
        Stored(|_| {
            let a = Dir::root().subdir(c"proc_fs_disorder", DIRECTORY)?;
            let b = a.subdir(c"b", DIRECTORY)?;
            let (c, d) = (b.subdir(c"c", DIRECTORY)?, b.subdir(c"d", DIRECTORY)?);
            let link = c.symlink(c"link", c"link")?;
            let file = d.show(c"file", READ, Shown(|_| Ok(())))?;
            drop((b.clone(), a));
            drop((c, file, b, link, d));
            Ok(())
        }),
    ),
    // Files made by what makes the data of a file, and by a callback.
    (
        c"files_in_files",
        Stored(|_| {
            let dir = Dir::root().subdir(c"proc_fs_files", DIRECTORY)?;
            let inner = || dir.show(c"inner", READ, Shown(|_| Ok(())));
            let outer = dir.show(c"outer", READ, Outer(inner()?))?;
            drop(dir.clone());
            drop(outer);
            inner().map(drop)
        }),
    ),
];

fn number(buf: &mut UserReader<'_>) -> Result<u32> {
    let mut digits = Bytes::<8>::default();
    digits.read(buf)?;
    let digits = core::str::from_utf8(&digits).map_err(|_| EINVAL)?;
    digits.trim_end().parse().map_err(|_| EINVAL)
}

/// Data that owns a file beside its own, and shows nothing.
struct Outer(#[expect(dead_code)] File<Shown>);

impl Show for Outer {
    fn show(&self, _m: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

/// Moves its files about when it is written to, while others read them.
#[pin_data]
struct Moved {
    #[pin]
    files: Mutex<KVec<File<Shown>>>,
}

impl Store for Moved {
    fn store(&self, _buf: &mut UserReader<'_>) -> Result {
        let mut files = self.files.lock();
        // Elsewhere in memory, and in another order.
        let mut moved = KVec::with_capacity(files.len(), GFP_KERNEL)?;
        while let Some(file) = files.pop() {
            moved.push(file, GFP_KERNEL)?;
        }
        *files = moved;
        Ok(())
    }
}

/// Removes another file when it is closed.
#[pin_data]
struct Releases {
    #[pin]
    other: Mutex<Option<File<Shown>>>,
}

#[vtable]
impl Operations for Releases {
    type Ptr = ();

    fn open(&self, _: &LocalFile) -> Result {
        Ok(())
    }

    fn release(&self, (): ()) {
        let other = self.other.lock().take();
        drop(other);
    }
}

/// More than kmalloc would have, and then one byte that is read.
struct Big {
    bytes: [u8; 6 << 20],
}

impl Show for Big {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        writeln!(m, "{:?}", self.bytes.last())
    }
}

/// Owns what owns it.
#[pin_data]
struct Cycle {
    #[pin]
    file: Mutex<Option<File<InCycle>>>,
}

struct InCycle(#[expect(dead_code)] Arc<Cycle>);

impl Show for InCycle {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        writeln!(m, "forgotten")
    }
}

/// Entries that nobody owns any more.
fn forget() -> Result {
    let dir = Dir::root().subdir(c"proc_fs_forgotten", DIRECTORY)?;
    let forgotten = || {
        let text = KVec::from_elem(b'f', 4000, GFP_KERNEL)?;
        Ok::<_, Error>(Text(text))
    };
    // The memory of a `File` is used again, but nothing drops it.
    let file = dir.show(c"maybe_uninit", READ, forgotten()?)?;
    drop(KBox::pin_init(MaybeUninit::pin_init(file), GFP_KERNEL)?);
    let file = dir.show(c"opaque", READ, forgotten()?)?;
    drop(KBox::pin_init(Opaque::pin_init(file), GFP_KERNEL)?);
    let file = dir.show(c"manually_drop", READ, forgotten()?)?;
    drop(KBox::new(ManuallyDrop::new(file), GFP_KERNEL)?);
    mem::forget(dir.show(c"mem_forget", READ, forgotten()?)?);
    let cycle = Arc::pin_init(
        pin_init!(Cycle {
            file <- new_mutex!(None),
        }),
        GFP_KERNEL,
    )?;
    let file = dir.show(c"cycle", READ, InCycle(cycle.clone()))?;
    *cycle.file.lock() = Some(file);
    forget_in(&dir)
}

/// Of these procfs calls no function of the module's.
fn forget_in(dir: &Dir) -> Result {
    mem::forget(dir.symlink(c"link", c"target")?);
    mem::forget(dir.subdir(c"dir", DIRECTORY)?);
    Ok(())
}

/// Shows what it owns.
struct Text(KVec<u8>);

impl Show for Text {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        m.write(&self.0)
    }
}

/// All that is there, to be dropped with the module.
struct Attacks {
    _shown: KVec<File<Shown>>,
    _listed: KVec<File<Listed>>,
    _done: KVec<File<Done>>,
    _reads: KVec<File<Read>>,
    _read_iters: KVec<File<ReadIter>>,
    _stored: KVec<File<Stored>>,
    _moved: File<Moved>,
    _releases: File<Releases>,
    _big: File<Big>,
    _links: [Symlink; 2],
}

/// Makes a file of each of these.
fn make<T: Copy>(
    attacks: &[(&CStr, T)],
    make: impl Fn(&CStr, T) -> Result<File<T>>,
) -> Result<KVec<File<T>>> {
    let mut files = KVec::new();
    for &(name, data) in attacks {
        files.push(make(name, data)?, GFP_KERNEL)?;
    }
    Ok(files)
}

impl kernel::Module for Attacks {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let dir = Dir::root().subdir(c"proc_fs_attacks", DIRECTORY)?;
        match compat::parameter::<u64>(module_parameters::name.value()) {
            1 => drop(Dir::root().show(c"cmdline", READ, Shown(|_| Ok(())))?),
            2 => {
                let one = dir.show(c"twice", READ, Shown(|_| Ok(())))?;
                let two = dir.subdir(c"twice", DIRECTORY)?;
                drop((one, two));
            }
            3 => {
                let one = dir.show(c"twice", READ, Shown(|_| Ok(())))?;
                let two = dir.symlink(c"twice", c"once")?;
                drop((one, two));
            }
            _ => {}
        }
        match compat::parameter::<u64>(module_parameters::forget.value()) {
            1 => forget()?,
            2 => forget_in(&Dir::root().subdir(c"proc_fs_forgotten", DIRECTORY)?)?,
            _ => {}
        }
        let mut files = KVec::new();
        for name in [c"moved_0", c"moved_1", c"moved_2", c"moved_3"] {
            let text = Shown(|m| m.write(&[b'm'; 5000]));
            files.push(dir.show(name, READ, text)?, GFP_KERNEL)?;
        }
        let other = dir.show(c"other", READ, Shown(|m| writeln!(m, "other")))?;
        let big = init!(Big {
            bytes <- pin_init::init_zeroed(),
        });
        Ok(Self {
            _shown: make(SHOWN, |name, data| dir.show(name, READ, data))?,
            _listed: make(LISTED, |name, data| dir.list(name, READ, data))?,
            _done: make(DONE, |name, data| dir.file(name, BOTH, data))?,
            _reads: make(READS, |name, data| dir.file(name, READ, data))?,
            _read_iters: make(READ_ITERS, |name, data| dir.file(name, READ, data))?,
            _stored: make(STORED, |name, data| dir.store(name, WRITE, data))?,
            _moved: dir.store(
                c"move",
                WRITE,
                pin_init!(Moved {
                    files <- new_mutex!(files),
                }),
            )?,
            _releases: dir.file(
                c"releases",
                READ,
                pin_init!(Releases {
                    other <- new_mutex!(Some(other)),
                }),
            )?,
            _big: dir.show(c"big", READ, big)?,
            _links: [
                dir.symlink(c"link_to_itself", c"link_to_itself")?,
                dir.symlink(c"link_to_anything", c"\xff/../\n\x01")?,
            ],
        })
    }
}
