// SPDX-License-Identifier: GPL-2.0

//! Which places of fortune.ko this thread has run, where the kernel records that
//! (Documentation/dev-tools/kcov.rst).

use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags, mmap},
};
use rustc_hash::FxHashSet;
use std::{
    fs::{self, File, OpenOptions},
    num::NonZero,
    os::fd::AsRawFd,
    ptr::NonNull,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// What was recorded, and what it was of.
struct Recorder {
    /// Open as long as it records.
    _kcov: File,
    /// How many addresses there are, and the addresses.
    addresses: NonNull<AtomicU64>,
    /// Where the module is, if it is loaded.
    text: Option<u64>,
    /// Which offsets into its `.text`.
    covered: Vec<bool>,
}

/// Two places of the module, by their offsets, of which one ran after the other. The first place of all comes after 0.
pub(crate) type Edge = (u32, u32);

pub(crate) type Edges = FxHashSet<Edge>;

// SAFETY: The mapping is never removed, and the kernel, which writes to it too, knows no other owner.
unsafe impl Send for Recorder {}

static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

/// How many addresses can be recorded between two looks.
const LEN: usize = 1 << 21;

/// How long the module's `.text` is at most.
const TEXT: usize = 1 << 20;

/// Begins to record what this thread runs, where the kernel can.
pub(crate) fn begin() {
    const INIT_TRACE: libc::c_ulong = 0x8008_6301;
    const ENABLE: libc::c_ulong = 0x6364;
    let Ok(kcov) = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/sys/kernel/debug/kcov")
    else {
        return;
    };
    let call = |request, argument: usize| {
        // SAFETY: Both take a number.
        Errno::result(unsafe { libc::ioctl(kcov.as_raw_fd(), request, argument) }).expect("kcov")
    };
    call(INIT_TRACE, LEN);
    let size = NonZero::new(LEN * size_of::<u64>()).expect("not 0");
    let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: New memory at an address of the kernel's choice is nobody's yet.
    let addresses = unsafe { mmap(None, size, both, MapFlags::MAP_SHARED, &kcov, 0) };
    call(ENABLE, 0);
    *RECORDER.lock().unwrap() = Some(Recorder {
        addresses: addresses.expect("kcov maps").cast(),
        _kcov: kcov,
        text: None,
        covered: vec![false; TEXT],
    });
}

impl Recorder {
    fn address(&self, at: usize) -> &AtomicU64 {
        assert!(at < LEN);
        // SAFETY: The mapping has so many, and is only ever used by atomic accesses.
        unsafe { self.addresses.add(at).as_ref() }
    }

    /// Takes what was recorded, of the module where it is now, and hands the offsets to `each`.
    fn take(&mut self, mut each: impl FnMut(u32)) {
        let count = self.address(0).load(Ordering::Relaxed) as usize;
        if let Some(text) = self.text {
            for at in 1..=count {
                let address = self.address(at).load(Ordering::Relaxed);
                let offset = address.wrapping_sub(text) as usize;
                if let Some(covered) = self.covered.get_mut(offset) {
                    *covered = true;
                    // It is less than TEXT.
                    each(offset as u32);
                }
            }
        }
        self.address(0).store(0, Ordering::Relaxed);
    }
}

/// Whether what this thread runs is recorded.
pub(crate) fn is_recorded() -> bool {
    RECORDER.lock().unwrap().is_some()
}

/// Adds what has run since the last look, if it is recorded.
pub(crate) fn look(edges: &mut Edges) {
    if let Some(recorder) = RECORDER.lock().unwrap().as_mut() {
        let mut before = 0;
        recorder.take(|offset| {
            edges.insert((before, offset));
            before = offset;
        });
    }
}

/// fortune.ko was loaded, and what was recorded since is of it.
pub(crate) fn loaded() {
    if let Some(recorder) = RECORDER.lock().unwrap().as_mut() {
        let text =
            fs::read_to_string("/sys/module/fortune/sections/.text").expect(".text is somewhere");
        let text = text.trim().trim_start_matches("0x");
        recorder.text = Some(u64::from_str_radix(text, 16).expect("an address"));
        recorder.take(|_| {});
    }
}

/// fortune.ko was unloaded, and what was recorded so far is of it.
pub(crate) fn unloaded() {
    if let Some(recorder) = RECORDER.lock().unwrap().as_mut() {
        recorder.take(|_| {});
        recorder.text = None;
    }
}

/// Says what has run.
pub(crate) fn end() {
    if let Some(recorder) = RECORDER.lock().unwrap().as_ref() {
        let offsets = (0..TEXT).filter(|&offset| recorder.covered[offset]);
        let offsets = offsets.map(|offset| format!(" {offset:x}"));
        println!("# covered:{}", offsets.collect::<String>());
    }
}
