// SPDX-License-Identifier: GPL-2.0

// Nor can bytes be read twice by two readers.
//
// error: no method named `clone_reader` found

pub struct Data;

impl Store for Data {
    fn store(&self, buf: &mut UserReader<'_>) -> Result {
        buf.clone_reader().read(&mut [0; 4])
    }
}
