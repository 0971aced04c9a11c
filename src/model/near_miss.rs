//! The name that was probably meant.

/// Of the known names the nearest to what was written, if one is near at all: a third of its letters may be wrong, letters
/// may be swapped, and the case does not matter.
pub fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).max(1);
    let written = written.to_lowercase();
    // Beyond this two names have nothing in common, and the distance costs their product.
    if written.is_empty() || written.len() > 256 {
        return None;
    }
    let near = |(distance, name): &(usize, &str)| {
        let name = name.to_lowercase();
        *distance <= limit || name.starts_with(&written) || written.starts_with(&name)
    };
    (known.iter().filter(|name| !name.is_empty() && name.len() <= 256))
        .map(|name| (edit_distance(&written, &name.to_lowercase()), *name))
        .filter(|one| near(one))
        .min()
        .map(|(_, name)| name)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment), three rows at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name() {
        let known = ["objectives", "default_objective", "window", "tick", "mode"];
        assert_eq!(nearest("objctives", &known), Some("objectives"));
        assert_eq!(nearest("windows", &known), Some("window"));
        assert_eq!(nearest("objective", &known), Some("objectives"));
        assert_eq!(nearest("mdoe", &known), Some("mode"), "letters are swapped more often than mistaken");
        assert_eq!(nearest("Mode", &known), Some("mode"));
        assert_eq!(nearest("kafka", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn distance_of_words() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
        assert_eq!(edit_distance("mdoe", "mode"), 1);
    }
}
