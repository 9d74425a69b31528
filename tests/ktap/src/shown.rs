// SPDX-License-Identifier: GPL-2.0

//! What documents show, and what is printed.

/// A line without what is another one each time: `…` stands for the time of a line of the kernel log, for a number in
/// hexadecimal, with four digits or more, of a process, or of bytes into a function, and for the hash of our crate in a
/// mangled name.
pub fn lasting(line: &str) -> String {
    let mut rest = line.trim_end();
    let mut lasting = String::new();
    if let Some((time, said)) = rest.split_once("] ") {
        let digits = time.strip_prefix('[').unwrap_or("x").trim_start();
        if digits.split('.').all(|part| part.parse::<u32>().is_ok()) {
            lasting += "[…] ";
            rest = said;
        }
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        let is_number = |word: &str, least| {
            word.len() >= least && word.bytes().all(|byte| byte.is_ascii_digit())
        };
        let of_process = lasting.ends_with("/proc/") && is_number(word, 1);
        let of_bytes = lasting.ends_with('+') && is_number(word, 1);
        let is_hex = word.strip_prefix("0x").is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        match word.split_once("Cs") {
            Some((before, _)) if after.starts_with("_7fortune") => {
                lasting += &format!("{before}Cs…");
            }
            _ if of_process || of_bytes || is_hex || is_number(word, 4) => lasting += "…",
            _ => lasting += word,
        }
        let next = after.find(|c: char| c.is_ascii_alphanumeric());
        let (between, next) = after.split_at(next.unwrap_or(after.len()));
        lasting += between;
        rest = next;
    }
    lasting
}
