//! What a process costs, from /proc.

/// What a process has used.
pub struct Usage {
    pub cpu_s: f64,
    pub resident_bytes: u64,
}

pub fn usage(pid: u32) -> Result<Usage, Box<dyn std::error::Error + Send + Sync>> {
    // The kernel's unit in /proc has been a hundredth of a second on every Linux for two decades.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name may hold anything but ends with the last parenthesis.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).ok_or("an odd stat file");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse()?;
    Ok(Usage { cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, resident_bytes: kib << 10 })
}
