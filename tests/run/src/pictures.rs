// SPDX-License-Identifier: GPL-2.0

//! The pictures in the READMEs: what they show is here, and `scripts/pictures` makes SVG of it. They read on light and on
//! dark, by the reader's own setting.

use anyhow::{Context, Result, ensure};
use pot::pot::{BLOCK_LEN, Block, Demand, Drawn, Lot, Pot, Slot, WhenFull, cost, index_len};
use std::{fmt::Write, fs};

/// Where each picture goes, and what it is.
fn all() -> Vec<(&'static str, String)> {
    vec![
        ("src/pictures/cat.svg", cat()),
        ("src/pictures/echo.svg", echo()),
        ("src/pictures/pot.svg", ring()),
        ("src/proc_fs/owners.svg", owners()),
    ]
}

/// Where the recording is, and what is typed in it.
const RECORDING: &str = "src/pictures/run.svg";
const TRANSCRIPT: &str = include_str!("../../guest/src/transcript.txt");

/// Writes all pictures, and the recording if there is what `make run` has printed.
pub(crate) fn write(session: Option<&str>) -> Result<()> {
    for (path, picture) in all() {
        fs::write(path, picture).context(path)?;
    }
    if let Some(session) = session {
        ensure!(!session.is_empty(), "nothing was printed");
        fs::write(RECORDING, recording(session)).context(RECORDING)?;
    }
    Ok(())
}

/// Whether all of them are as this makes them: the recording of what a test finds `make run` to print.
pub(crate) fn check() -> Result<()> {
    let mut all = all();
    all.push((RECORDING, recording(TRANSCRIPT)));
    for (path, picture) in all {
        let there = fs::read_to_string(path).context(path)?;
        ensure!(
            there == picture,
            "{path} is out of date: scripts/pictures makes it anew"
        );
    }
    Ok(())
}

/// A picture that is being drawn.
struct Picture {
    width: i32,
    height: i32,
    title: &'static str,
    style: String,
    body: String,
}

/// How all of them look. `ink` is for what is written, `line` for lines; the fills are for user space, the kernel's C, unsafe
/// and safe Rust, and data.
const STYLE: &str = "
text { font: 14px ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
.code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: 13px; }
.small { font-size: 12px; }
.soft { fill: #59636e; }
.bold { font-weight: 600; }
.paper { fill: #ffffff; }
.user { fill: #ddf4ff; stroke: #0969da; }
.c { fill: #f6f8fa; stroke: #818b98; }
.unsafe { fill: #ffebe9; stroke: #cf222e; }
.safe { fill: #dafbe1; stroke: #1a7f37; }
.data { fill: #fff8c5; stroke: #9a6700; }
.free { fill: #ffffff; stroke: #818b98; stroke-dasharray: 3 3; }
.line { fill: none; stroke: #59636e; stroke-width: 1.5; }
.head { fill: #59636e; }
";

/// The same in the dark.
const DARK: &str = "
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.soft { fill: #9198a1; }
.paper { fill: #0d1117; }
.user { fill: #0c2d4d; stroke: #4493f8; }
.c { fill: #21262d; stroke: #9198a1; }
.unsafe { fill: #4b1113; stroke: #f85149; }
.safe { fill: #0f3d1f; stroke: #3fb950; }
.data { fill: #3b2c02; stroke: #d29922; }
.free { fill: #0d1117; stroke: #9198a1; }
.line { stroke: #9198a1; }
.head { fill: #9198a1; }
}
";

/// What can't stand in XML as it is.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Picture {
    fn new(width: i32, height: i32, title: &'static str) -> Self {
        Self {
            width,
            height,
            title,
            style: format!("{STYLE}{DARK}"),
            body: String::new(),
        }
    }

    fn element(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{text}").expect("a String takes all");
    }

    fn rect(&mut self, class: &str, [x, y, width, height]: [i32; 4]) {
        self.element(format_args!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>"#
        ));
    }

    /// A text that begins at x, and stands on y.
    fn text(&mut self, class: &str, x: i32, y: i32, text: &str) {
        let text = escaped(text);
        self.element(format_args!(
            r#"<text class="{class}" x="{x}" y="{y}" xml:space="preserve">{text}</text>"#
        ));
    }

    /// A text in the middle of x.
    fn centred(&mut self, class: &str, x: i32, y: i32, text: &str) {
        let text = escaped(text);
        self.element(format_args!(
            r#"<text class="{class}" x="{x}" y="{y}" text-anchor="middle" xml:space="preserve">{text}</text>"#
        ));
    }

    /// A box with a line of code, and one that says what it does.
    fn step(&mut self, class: &str, at: [i32; 4], code: &str, says: &str) {
        self.rect(class, at);
        self.text("code bold", at[0] + 12, at[1] + 21, code);
        self.text("small", at[0] + 12, at[1] + 40, says);
    }

    /// A line through points, with a head at its end.
    fn arrow(&mut self, points: &[(i32, i32)]) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        self.element(format_args!(
            r#"<polyline class="line" points="{}" marker-end="url(#head)"/>"#,
            path.join(" ")
        ));
    }

    fn svg(self) -> String {
        let Self {
            width,
            height,
            title,
            style,
            body,
        } = self;
        format!(
            r##"<!-- SPDX-License-Identifier: GPL-2.0 -->
<!-- Made by scripts/pictures of tests/run/src/pictures.rs. -->
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{title}</title>
<style>{style}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0,0 L8,4 L0,8 z"/></marker></defs>
<rect class="paper" width="{width}" height="{height}"/>
{body}</svg>
"##
        )
    }
}

/// The steps of a call, one below the other, and the class of each; on the right what they work on.
struct Way {
    picture: Picture,
}

impl Way {
    const LEFT: i32 = 20;
    const WIDTH: i32 = 430;
    const HEIGHT: i32 = 52;
    const STEP: i32 = 74;
    const TOP: i32 = 20;
    const DATA: i32 = 560;
    const DATA_WIDTH: i32 = 300;

    fn new(title: &'static str, steps: &[(&str, &str, &str)]) -> Self {
        let height = Self::TOP + Self::STEP * i32::try_from(steps.len()).expect("a few") + 34;
        let mut picture = Picture::new(880, height, title);
        for (number, &(class, code, says)) in (0..).zip(steps) {
            let y = Self::y(number);
            picture.step(
                class,
                [Self::LEFT, y, Self::WIDTH, Self::HEIGHT],
                code,
                says,
            );
            if number > 0 {
                let x = Self::LEFT + 40;
                picture.arrow(&[(x, y - Self::STEP + Self::HEIGHT), (x, y)]);
            }
        }
        let y = height - 18;
        let mut x = Self::LEFT;
        for (class, what, width) in [
            ("user", "user space", 110),
            ("c", "the kernel's C", 130),
            ("unsafe", "Rust with unsafe code: proc_fs", 240),
            ("safe", "safe Rust", 100),
            ("data", "data", 60),
        ] {
            picture.rect(class, [x, y - 11, 14, 14]);
            picture.text("small soft", x + 20, y, what);
            x += width;
        }
        Self { picture }
    }

    fn y(step: i32) -> i32 {
        Self::TOP + Self::STEP * step
    }

    /// Data beside a step, that begins at its top and is so many lines high.
    fn data(&mut self, step: i32, class: &str, name: &str, lines: &[&str]) {
        let y = Self::y(step);
        let count = i32::try_from(lines.len()).expect("a few");
        let at = [Self::DATA, y, Self::DATA_WIDTH, 34 + 18 * count];
        self.picture.rect(class, at);
        self.picture.text("bold", at[0] + 12, y + 22, name);
        for (number, line) in (0..).zip(lines) {
            self.picture
                .text("small", at[0] + 12, y + 42 + 18 * number, line);
        }
    }

    /// An arrow between the middle of a step and what is beside it, which says what goes there.
    fn right(&mut self, step: i32, says: &str) {
        let y = Self::y(step) + Self::HEIGHT / 2;
        self.picture
            .arrow(&[(Self::LEFT + Self::WIDTH, y), (Self::DATA, y)]);
        self.label(y, says);
    }

    fn left(&mut self, step: i32, says: &str) {
        let y = Self::y(step) + Self::HEIGHT / 2;
        self.picture
            .arrow(&[(Self::DATA, y), (Self::LEFT + Self::WIDTH, y)]);
        self.label(y, says);
    }

    fn label(&mut self, y: i32, says: &str) {
        let x = (Self::LEFT + Self::WIDTH + Self::DATA) / 2;
        self.picture.centred("small soft", x, y - 6, says);
    }
}

/// The way of one `cat`.
fn cat() -> String {
    let mut way = Way::new(
        "The way of one cat /proc/fortune",
        &[
            ("user", "read(3, buffer, 262144)", "cat /proc/fortune"),
            (
                "c",
                "vfs_read",
                "may this open file be read, and the buffer be written?",
            ),
            (
                "c",
                "proc_reg_read",
                "counts the call, so that rmmod waits for it",
            ),
            (
                "unsafe",
                "VTable::<Fortune>::read",
                "makes references of C's pointers",
            ),
            (
                "safe",
                "Fortune::read",
                "locks what this open file has drawn",
            ),
            (
                "safe",
                "Draw::draw",
                "at position 0 only: takes the next fortune",
            ),
            (
                "safe",
                "Draw::read",
                "copies from the position on, and moves the position",
            ),
            (
                "unsafe",
                "UserWriter::write",
                "copy_to_user: a page fault here can take for ever",
            ),
        ],
    );
    way.data(
        4,
        "data",
        "the open file",
        &["drawn: the text, and whether it was delivered"],
    );
    way.data(
        5,
        "data",
        "the pot",
        &[
            "locked for this copy only:",
            "to the open file, not to the user",
        ],
    );
    way.data(
        7,
        "user",
        "cat's buffer",
        &["nothing that others need is locked"],
    );
    way.right(4, "locks");
    way.left(5, "takes");
    way.picture
        .arrow(&[(720, Way::y(5)), (720, Way::y(4) + Way::HEIGHT)]);
    way.right(7, "copies");
    way.picture.svg()
}

/// The way of one `echo`.
fn echo() -> String {
    let mut way = Way::new(
        "The way of one echo > /proc/fortune",
        &[
            (
                "user",
                r#"write(1, "hello\n", 6)"#,
                "echo hello > /proc/fortune",
            ),
            (
                "c",
                "vfs_write",
                "may this open file be written, and the buffer be read?",
            ),
            (
                "c",
                "proc_reg_write",
                "counts the call, so that rmmod waits for it",
            ),
            (
                "unsafe",
                "VTable::<Fortune>::write",
                "makes references of C's pointers",
            ),
            (
                "safe",
                "Fortune::write",
                "locks what this open file has left unfinished",
            ),
            (
                "unsafe",
                "UserReader::read",
                "copy_from_user: a page fault here can take for ever",
            ),
            (
                "safe",
                "Records::next",
                "where does a fortune end? at the newline",
            ),
            (
                "safe",
                "Dispenser::store",
                "all of it fits, or ENOSPC and nothing has changed",
            ),
            (
                "safe",
                "Unfinished::write",
                "what had no newline stays; close() completes it",
            ),
        ],
    );
    way.data(
        4,
        "data",
        "the open file",
        &["written: what is not a whole fortune yet"],
    );
    way.data(
        5,
        "user",
        "echo's buffer",
        &["nothing that others need is locked"],
    );
    way.data(
        7,
        "data",
        "the pot",
        &[
            "locked while it decides and copies;",
            "nothing can stall there",
        ],
    );
    way.right(4, "locks");
    way.left(5, "copies");
    way.right(7, "stores");
    way.picture.svg()
}

/// The bytes that the pot in the picture has.
const SIZE: usize = 22;

/// A pot of the module, to be shown.
type Shown = Pot<Vec<u8>, Box<Block>, Vec<Slot<Box<Block>>>>;

/// Stores a text.
fn store(pot: &mut Shown, text: &str) {
    let demand = Demand {
        fortunes: 1,
        bytes: cost(text.len()),
        ..Demand::default()
    };
    let block = || Box::new(([0; BLOCK_LEN], [0; BLOCK_LEN.div_ceil(64)], 0));
    let mut blocks = std::iter::repeat_with(block);
    pot.begin(demand, 2).expect("there is room");
    while !pot.extend(&mut blocks) {}
    pot.fill(&[text.as_bytes()]);
    pot.finish();
}

/// Where texts that are stored one after the other begin, if the first one begins at 0.
fn begins(texts: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let begin = texts.iter().map(|text| {
        let begin = at % SIZE;
        at += cost(text.len());
        begin
    });
    begin.collect()
}

/// The ring of the pot, before and after something has left for what comes.
fn ring() -> String {
    const TEXTS: [&str; 4] = ["alpha", "beta", "gamma", "epsilon"];
    let index = (0..index_len(SIZE)).map(|_| Slot::default()).collect();
    let mut pot: Shown = Pot::new(vec![0; SIZE], index);
    pot.set_when_full(WhenFull::Evict);
    TEXTS[..3].iter().for_each(|text| store(&mut pot, text));
    let drawn = pot.draw(&mut Lot::default(), |_| 0, SIZE);
    assert_eq!(drawn, Drawn::Fortune(b"alpha\n", b""));
    let before = pot.stats();

    let mut picture = Picture::new(
        880,
        500,
        "The ring of the pot, before and after an eviction",
    );
    picture.text(
        "bold",
        20,
        32,
        &format!("A pot of {SIZE} bytes with three fortunes, of which the first one was drawn"),
    );
    strip(&mut picture, 50, &TEXTS[..3], 0, 1);
    let says = format!(
        "used {}, {} free. “epsilon” takes {}: the oldest fortune has to leave.",
        before.used,
        SIZE as u64 - before.used,
        cost(TEXTS[3].len())
    );
    picture.text("small soft", 20, 232, &says);

    store(&mut pot, TEXTS[3]);
    let after = pot.stats();
    assert_eq!((after.fortunes, after.evictions), (3, 1));
    // What is drawn next is what the picture says.
    assert_eq!(
        pot.draw(&mut Lot::default(), |_| 0, SIZE),
        Drawn::Fortune(b"beta\n", b"")
    );
    picture.text(
        "bold",
        20,
        276,
        "After echo epsilon > /proc/fortune, with evict in when_full",
    );
    strip(&mut picture, 294, &TEXTS, 1, 1);
    let says = format!(
        "used {}, {} free. No byte of another fortune has moved, and the text goes on where the ring begins.",
        after.used,
        SIZE as u64 - after.used
    );
    picture.text("small soft", 20, 476, &says);
    picture.svg()
}

/// The bytes, with the fortunes from number `oldest` on, and the index below them.
fn strip(picture: &mut Picture, top: i32, texts: &[&str], oldest: usize, next: usize) {
    const CELL: i32 = 38;
    const LEFT: i32 = 22;
    let x = |at: usize| LEFT + CELL * i32::try_from(at).expect("a few");
    let mut cells = [None; SIZE];
    for (number, begin) in begins(texts).into_iter().enumerate().skip(oldest) {
        let text = texts[number].bytes().chain([b'\n']);
        for (at, byte) in text.enumerate() {
            cells[(begin + at) % SIZE] = Some(byte);
        }
    }
    for (at, cell) in cells.iter().enumerate() {
        let class = if cell.is_some() { "data" } else { "free" };
        picture.rect(class, [x(at), top, CELL - 3, 36]);
        let shown = match cell {
            Some(b'\n') => r"\n".to_owned(),
            Some(byte) => char::from(*byte).to_string(),
            None => String::new(),
        };
        picture.centred("code", x(at) + CELL / 2 - 1, top + 23, &shown);
        picture.centred(
            "small soft",
            x(at) + CELL / 2 - 1,
            top + 52,
            &at.to_string(),
        );
    }
    picture.text("bold small", LEFT, top + 104, "the index:");
    for (place, (number, begin)) in (0..).zip(begins(texts).into_iter().enumerate().skip(oldest)) {
        let middle = x(begin) + CELL / 2 - 1;
        let box_x = LEFT + 110 + 210 * place;
        picture.rect("safe", [box_x, top + 86, 170, 28]);
        let says = format!("fortune {number} begins at {begin}");
        picture.centred("small", box_x + 85, top + 105, &says);
        picture.arrow(&[(box_x + 85, top + 86), (middle, top + 58)]);
        let mut marks = Vec::new();
        if number == oldest {
            marks.push("oldest");
        }
        if number == next {
            marks.push("next to draw");
        }
        picture.centred("small bold", box_x + 85, top + 132, &marks.join(", "));
    }
}

/// Who owns what in proc_fs, and in which order it goes.
fn owners() -> String {
    let mut picture = Picture::new(
        880,
        452,
        "Who owns what in proc_fs, and in which order it goes",
    );
    picture.text("bold", 20, 34, "Rust");
    picture.text("bold", 470, 34, "C: procfs");

    picture.step(
        "safe",
        [20, 50, 370, 52],
        "Module",
        "your module owns its files",
    );
    picture.arrow(&[(60, 102), (60, 132)]);
    picture.rect("unsafe", [20, 132, 370, 214]);
    picture.text("code bold", 32, 153, "File<T>");
    picture.text(
        "small",
        104,
        153,
        "dropped field by field, from first to last",
    );
    picture.step(
        "c",
        [40, 168, 330, 50],
        "1  _entry: Entry",
        "the drop calls proc_remove",
    );
    picture.step(
        "c",
        [40, 226, 330, 50],
        "2  _dir: Dir",
        "a share of the directory, if it is one of ours",
    );
    picture.step(
        "c",
        [40, 284, 330, 50],
        "3  data: Pin<KVBox<T>>",
        "memory of its own; all callbacks have &T",
    );
    picture.arrow(&[(60, 334), (60, 372)]);
    picture.step(
        "data",
        [20, 372, 370, 52],
        "T",
        "what your trait is implemented for",
    );

    picture.step(
        "c",
        [470, 168, 390, 50],
        "proc_dir_entry",
        "the name, the mode, T's proc_ops, a pointer to T",
    );
    picture.arrow(&[(370, 190), (470, 190)]);
    picture.arrow(&[(620, 218), (620, 252), (430, 252), (430, 398), (390, 398)]);
    picture.text("small soft", 482, 270, "points to T, but does not own it");

    picture.step(
        "c",
        [470, 50, 390, 52],
        "struct file",
        "an open file: private_data is its Ptr",
    );
    picture.arrow(&[(820, 102), (820, 168)]);
    picture.text("small soft", 640, 138, "release gives the Ptr back");

    picture.text("bold small", 470, 312, "The order");
    for (number, line) in (0..).zip([
        "1  proc_remove: no call begins any more; it waits for those that",
        "    have begun; and it releases each file that is still open.",
        "2  The directory goes with the last of its entries, never before.",
        "3  Nobody has a pointer to T any more: it is dropped.",
        "The opposite order, 3 before 1, is a use after free.",
    ]) {
        picture.text("small", 470, 334 + 20 * number, line);
    }
    picture.svg()
}

/// A recording that plays: what is typed comes letter by letter, what is printed at once, and then it stays. Without
/// animation all of it is there from the beginning.
fn recording(session: &str) -> String {
    const LINE: i32 = 22;
    // How long a letter takes, a command until it prints, and the reader, in seconds.
    const LETTER: f64 = 0.03;
    const RUNS: f64 = 0.25;
    const READS: f64 = 0.6;
    let lines: Vec<&str> = ["$ make run"].into_iter().chain(session.lines()).collect();
    let count = i32::try_from(lines.len()).expect("a screen");
    let (width, height) = (880, 56 + LINE * count + 16);
    let mut picture = Picture::new(width, height, "A recording of make run");
    picture.style += "
.screen { fill: #f6f8fa; stroke: #d1d9e0; }
.typed { animation: type both; }
.printed { animation: show 0.01s both; }
@keyframes type { from { clip-path: inset(0 100% 0 0); } to { clip-path: inset(0 0 0 0); } }
@keyframes show { from { opacity: 0; } to { opacity: 1; } }
@media (prefers-reduced-motion: reduce) { .typed, .printed { animation: none; } }
@media (prefers-color-scheme: dark) { .screen { fill: #161b22; stroke: #3d444d; } }
";
    picture.rect("screen", [4, 4, width - 8, height - 8]);
    for (number, class) in (0..).zip(["unsafe", "data", "safe"]) {
        let x = 26 + 20 * number;
        picture.element(format_args!(
            r#"<circle class="{class}" cx="{x}" cy="24" r="6"/>"#
        ));
    }
    let mut now = 0.5;
    for (number, line) in (0..).zip(&lines) {
        let y = 62 + LINE * number;
        let (prompt, command) = match line.strip_prefix(['#', '$']) {
            Some(command) => (&line[..1], command.trim_start()),
            None => ("", *line),
        };
        let shown = escaped(command);
        if prompt.is_empty() {
            picture.element(format_args!(
                r#"<text class="code printed" style="animation-delay: {now:.2}s" x="20" y="{y}" xml:space="preserve">{shown}</text>"#
            ));
            now += READS;
            continue;
        }
        picture.element(format_args!(
            r#"<text class="code soft printed" style="animation-delay: {now:.2}s" x="20" y="{y}">{prompt}</text>"#
        ));
        let letters = command.chars().count();
        let takes = LETTER * letters as f64;
        picture.element(format_args!(
            r#"<text class="code bold typed" style="animation-duration: {takes:.2}s; animation-delay: {now:.2}s; animation-timing-function: steps({letters})" x="38" y="{y}" xml:space="preserve">{shown}</text>"#
        ));
        // The guest comes up.
        now += takes + if number == 0 { 1.5 } else { RUNS };
    }
    picture.svg()
}
