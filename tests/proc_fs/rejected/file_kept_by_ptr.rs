// SPDX-License-Identifier: GPL-2.0

// Nor is it kept by what the open file owns.
//
// error: cannot be shared between threads safely

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = KBox<kernel::sync::aref::ARef<LocalFile>>;

    fn open(&self, file: &LocalFile) -> Result<Self::Ptr> {
        Ok(KBox::new(file.into(), GFP_KERNEL)?)
    }
}
