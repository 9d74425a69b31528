// SPDX-License-Identifier: GPL-2.0

// Nor can it become a descriptor.
//
// error: mismatched types

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = ();

    fn open(&self, file: &LocalFile) -> Result {
        let file: kernel::sync::aref::ARef<LocalFile> = file.into();
        let fd = kernel::fs::file::FileDescriptorReservation::get_unused_fd_flags(0)?;
        fd.fd_install(file);
        Err(EIO)
    }
}
