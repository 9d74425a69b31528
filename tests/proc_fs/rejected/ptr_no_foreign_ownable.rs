// SPDX-License-Identifier: GPL-2.0

// What an open file owns has to fit into its private data.
//
// error: the trait bound `u64: ForeignOwnable` is not satisfied

pub struct Data;

#[vtable]
impl Operations for Data {
    type Ptr = u64;

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Err(EIO)
    }
}
