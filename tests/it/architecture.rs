//! The sources keep to the map: data flows one way, the core knows no outside world, each heavy dependency is
//! there once, and a file stays one idea.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::process::run;
use crate::skip::measured;
use imports::Imports;

/// As `src/lib.rs` lists them: a module imports only from those before it.
const ORDER: [&str; 26] = [
    "model", "clock", "disk", "net", "receive", "window", "analyse", "action", "shape", "decide", "guard", "act",
    "verify", "journal", "engine", "simulate", "schedule", "forecast", "import", "history", "config", "gateway", "sql",
    "notices", "api", "commands",
];

/// What `analyse` is made of, in the order of its imports, as the whole is.
const ANALYSE: [&str; 12] = [
    "thresholds",
    "statistics",
    "trace",
    "objective",
    "rollup",
    "telemetry",
    "findings",
    "learned",
    "change",
    "absorber",
    "diagnosis",
    "judge",
];

/// Children of `analyse`: more do not fit a head.
const ANALYSE_CHILDREN_MAX: usize = 12;

/// Numbers of the analysis that define a format or a unit, or only make it quicker: nothing is judged by them.
const DEFINITIONS: [&str; 17] = [
    "HOURS",
    "SECONDS_A_DAY",
    "SECONDS_AN_HOUR",
    "SUB_BITS",
    "SUB",
    "NONE",
    "TINY",
    "LOG_STEP",
    "MEDIAN_SQUARE",
    "KINDS",
    "KIND_UNANSWERED",
    "STEPS_PER_LOG",
    "SCHEMA",
    "TABLE",
    "FEW",
    "WAITING_MAX",
    "CALIBRATING",
];

/// What runs on event time alone, and the words of the world that must not be in it.
const CORE: [&str; 13] = [
    "model", "window", "analyse", "action", "shape", "decide", "guard", "verify", "engine", "simulate", "schedule",
    "forecast", "import",
];
const OUTSIDE_WORDS: [&str; 5] = ["Instant", "SystemTime", "tokio", "rand", "rand_pcg"];
const OUTSIDE_PATHS: [&str; 2] = ["std::net", "std::thread"];

/// Past this a file is two ideas; the measure of 500 is for people, who may round.
const LINES_MAX: usize = 550;

/// One file of `src`, without comments and without the tests at its end.
struct Source {
    /// From `src` on.
    path: String,
    lines: usize,
    code: String,
}

impl Source {
    /// The module it belongs to: the first part of its path.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// Words, in the sense of the language.
    fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c: char| !c.is_alphanumeric() && c != '_')
    }

    /// Every module that stands behind a `crate::`, alone or in braces.
    fn imports(&self) -> BTreeSet<&str> {
        let mut imports = BTreeSet::new();
        for rest in self.code.split("crate::").skip(1) {
            match rest.strip_prefix('{') {
                Some(list) => imports.extend(first_names(list)),
                None => imports.extend(name(rest)),
            }
        }
        imports
    }
}

/// The name that a text begins with.
fn name(text: &str) -> Option<&str> {
    text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

/// The names that the elements of a `{…}` list begin with, up to its end.
fn first_names(list: &str) -> Vec<&str> {
    let (mut names, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.extend(name(&list[from..at]));
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a directory with this ending, sorted.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let of_tests = "#[cfg(test)]\nmod tests {";
        let before_tests = text.find(of_tests).map_or(text.as_str(), |at| &text[..at]);
        let code = before_tests.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>();
        let path = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        Source { path, lines: text.lines().count(), code: code.join("\n") }
    };
    files(&src, ".rs").into_iter().map(read).collect()
}

/// Files that are compiled into tests only.
fn is_test(source: &Source) -> bool {
    ["tests.rs", "properties.rs", "differential.rs"].iter().any(|name| source.path.ends_with(name))
}

#[test]
fn modules_import_only_from_those_before_them() {
    let place = |module: &str| ORDER.iter().position(|name| *name == module);
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !is_test(source)) {
        let module = source.module();
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let own = place(module).unwrap_or_else(|| panic!("{} is of no module in the order", source.path));
        for import in source.imports() {
            if place(import).is_some_and(|other| other > own) {
                wrong.push(format!("{} imports {import}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The code of all files that are not tests.
fn code() -> BTreeMap<String, String> {
    sources().into_iter().filter(|source| !is_test(source)).map(|source| (source.path, source.code)).collect()
}

#[test]
fn no_files_of_different_folders_import_one_another() {
    let code = code();
    let circles = Imports::of(&code).circles();
    measured("architecture.import_circles", circles.len(), "circles");
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_parts_of_the_analysis_import_only_from_those_before_them() {
    let code = code();
    let place = |file: &str| {
        let part = file.strip_prefix("analyse/")?.split(['/', '.']).next()?;
        ANALYSE.iter().position(|name| *name == part)
    };
    let mut wrong = Vec::new();
    for (file, targets) in Imports::of(&code).edges() {
        let later = |target: &&&str| place(target) > place(file);
        let later = place(file).into_iter().flat_map(|_| targets.iter().filter(later));
        wrong.extend(later.map(|target| format!("{file} imports {target}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let children = std::fs::read_dir(root().join("src/analyse")).unwrap();
    let children = children.filter(|child| child.as_ref().unwrap().file_name() != "mod.rs").count();
    measured("architecture.children_of_analyse", children, "children");
    assert!(children <= ANALYSE_CHILDREN_MAX, "{children} children of analyse");
}

#[test]
fn every_number_of_the_analysis_stands_with_its_reason_in_one_folder() {
    let is_number = |kind: &str| {
        ["f64", "i64", "i32", "i16", "u64", "u32", "usize", "Duration"].iter().any(|number| kind.contains(number))
    };
    let mut elsewhere = Vec::new();
    for (file, code) in code() {
        let is_searched = file.starts_with("analyse/") && !file.starts_with("analyse/thresholds/");
        for (_, rest) in code.match_indices("const ").map(|(at, found)| code[at..].split_at(found.len())) {
            let Some((name, kind)) = rest.split_once(':') else { continue };
            let kind = kind.split(['=', ';']).next().unwrap_or_default();
            let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if is_searched && is_name && is_number(kind) && !DEFINITIONS.contains(&name) {
                elsewhere.push(format!("{file}: {name}"));
            }
        }
    }
    assert!(elsewhere.is_empty(), "move to analyse/thresholds, with the reason: {elsewhere:#?}");
}

#[test]
fn the_list_of_modules_is_that_of_the_crate() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let listed: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("//! - [`")?.split('`').next()).collect();
    assert_eq!(listed, ORDER);
}

#[test]
fn the_core_knows_no_clock_no_socket_no_thread_and_no_chance() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| CORE.contains(&source.module()) && !is_test(source)) {
        let words: BTreeSet<&str> = source.words().collect();
        wrong.extend(
            (OUTSIDE_PATHS.iter().filter(|path| source.code.contains(**path)))
                .map(|path| format!("{} has {path}", source.path)),
        );
        for word in OUTSIDE_WORDS {
            // The simulator draws from its seed.
            let allowed = source.module() == "simulate" && word.starts_with("rand");
            if words.contains(word) && !allowed {
                wrong.push(format!("{} has {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn imports_are_read_as_they_are_written() {
    let code =
        "use crate::model::Time;\nuse crate::{analyse, guard::{self, Mode},\n  receive};\nlet x = crate::api::X;";
    let source = Source { path: "engine/mod.rs".into(), lines: 0, code: code.into() };
    assert_eq!(source.module(), "engine");
    assert_eq!(Vec::from_iter(source.imports()), ["analyse", "api", "guard", "model", "receive"]);
}

#[test]
fn no_file_has_grown_into_two_ideas() {
    let long: Vec<_> = (sources().into_iter().filter(|source| source.lines > LINES_MAX))
        .map(|source| format!("{}: {} lines", source.path, source.lines))
        .collect();
    assert!(long.is_empty(), "split by noun: {long:#?}");
}

/// What is special about one action stands in its own file: few others know it by name.
#[test]
fn an_action_is_known_by_name_to_few_files() {
    for names in [["ResizeCpu", "resize_cpu"], ["RestartPod", "restart_pod"], ["RaiseFloor", "raise_floor"]] {
        let knows = |source: &&Source| !is_test(source) && names.iter().any(|name| source.code.contains(name));
        let files: Vec<String> = sources().iter().filter(knows).map(|source| source.path.clone()).collect();
        assert!(files.len() <= 6, "{names:?}: {files:#?}");
        let own = format!("action/{}.rs", names[1]);
        assert!(files.contains(&own), "{files:#?}");
    }
}

#[test]
fn heavy_dependencies_are_there_once() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["arrow", "tonic", "prost", "hyper", "datafusion", "rustls"] {
        let line = format!("name = \"{name}\"");
        assert_eq!(lock.lines().filter(|of| *of == line).count(), 1, "versions of {name} in Cargo.lock");
    }
}

#[test]
fn every_example_configuration_is_one() {
    let configurations: Vec<PathBuf> = (files(&root().join("examples"), ".yaml").into_iter())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("headroom"))
        .collect();
    assert!(!configurations.is_empty());
    for path in configurations {
        let (code, out, error) = run(root(), &["check-config", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{out}{error}");
    }
}
