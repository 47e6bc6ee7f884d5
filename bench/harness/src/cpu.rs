//! The processor time that this process, or another one, has used.

/// Seconds in user and kernel mode since the start; 0 where there is no `/proc`.
pub(crate) fn seconds() -> f64 {
    read("self")
}

/// The same of another process, without its children.
pub fn seconds_of(process: u32) -> f64 {
    read(&process.to_string())
}

fn read(process: &str) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // USER_HZ is 100 on every Linux.
    (ticks(11) + ticks(12)) / 100.0
}
