// SPDX-License-Identifier: GPL-2.0

// What is printed can't print to the same file: that is lent to `write!`.
//
// error: cannot borrow `*m` as mutable more than once at a time

pub struct Nested<'a, 'b>(core::cell::RefCell<&'a mut SeqWriter<'b>>);

impl core::fmt::Display for Nested<'_, '_> {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0
            .borrow_mut()
            .write(b"within")
            .map_err(|_| core::fmt::Error)
    }
}

pub struct Data;

impl Show for Data {
    fn show(&self, m: &mut SeqWriter<'_>) -> Result {
        let nested = Nested(core::cell::RefCell::new(m));
        write!(m, "{nested}")
    }
}
