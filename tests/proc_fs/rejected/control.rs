// SPDX-License-Identifier: GPL-2.0

// Nothing is wrong here: what the others are made of compiles.
//
// error: none

pub struct Data(pub u8);

impl Show for Data {
    fn show(&self, _: &mut SeqWriter<'_>) -> Result {
        Ok(())
    }
}

pub fn make() -> Result<File<Data>> {
    let mode = Mode::new::<0o644>();
    Dir::root().show(c"name", mode, Data(1))
}

pub struct Other;

#[vtable]
impl Operations for Other {
    type Ptr = KBox<u8>;

    fn open(&self, _: &LocalFile) -> Result<Self::Ptr> {
        Ok(KBox::new(1, GFP_KERNEL)?)
    }

    fn read(&self, _: &u8, buf: &mut UserWriter<'_>, _: &mut Offset) -> Result {
        buf.write(b"text").map(drop)
    }

    fn mmap(&self, _: &u8, mapping: &mut Mapping<'_>) -> Result {
        mapping.insert(0, &Page::zeroed(GFP_KERNEL)?)
    }
}
