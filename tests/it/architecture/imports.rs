//! Which file imports from which, read from the sources: names are followed through re-exports to the file that defines
//! them. Comments and tests must have been taken out.

use std::collections::{BTreeMap, BTreeSet};

/// Path of a module or an item, from the crate's root.
type Name = Vec<String>;

/// The sources by file, from `src` on.
pub struct Imports<'a> {
    code: &'a BTreeMap<String, String>,
    /// The file of each module.
    files: BTreeMap<Name, &'a str>,
    /// What modules re-export: the name there, or `*`, and what it stands for.
    re_exports: BTreeMap<Name, Vec<(String, Name)>>,
}

impl<'a> Imports<'a> {
    pub fn of(code: &'a BTreeMap<String, String>) -> Imports<'a> {
        let files = code.keys().map(|file| (module_of(file), file.as_str())).collect();
        let mut imports = Imports { code, files, re_exports: BTreeMap::new() };
        for (file, code) in code {
            let module = module_of(file);
            let found = uses(code).into_iter().filter(|one| one.is_public);
            let found = found.filter_map(|one| Some((one.alias, imports.absolute(&module, &one.path)?))).collect();
            imports.re_exports.insert(module, found);
        }
        imports
    }

    /// Every group of files that import one another in a circle and do not lie in one folder.
    pub fn circles(&self) -> Vec<Vec<&'a str>> {
        let edges = self.edges();
        let mut circles = BTreeSet::new();
        for &file in edges.keys() {
            let reached = reachable(&edges, file);
            if reached.contains(file) {
                let circle: Vec<&str> =
                    reached.iter().copied().filter(|other| reachable(&edges, other).contains(file)).collect();
                circles.insert(circle);
            }
        }
        circles.into_iter().filter(|circle| !lie_in_one_folder(circle)).collect()
    }

    /// The files that each file imports from.
    pub fn edges(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut edges = BTreeMap::new();
        for (file, code) in self.code {
            let module = module_of(file);
            // What only passes through is followed where it is imported.
            let used: Vec<Use> = uses(code).into_iter().filter(|one| !one.is_public).collect();
            let used = used.iter().filter_map(|one| Some((one.alias.as_str(), self.absolute(&module, &one.path)?)));
            let used: Vec<(&str, Name)> = used.collect();
            let children = self.files.keys().filter(|name| name.len() == module.len() + 1 && name.starts_with(&module));
            let children = children.map(|name| (name[module.len()].as_str(), name.clone()));
            let in_scope: BTreeMap<&str, Name> =
                children.chain(used.iter().cloned()).filter(|(_, path)| self.files.contains_key(path)).collect();
            // A module that is imported stands for what is used of it.
            let imported = used.into_iter().map(|(_, path)| path).filter(|path| !self.files.contains_key(path));
            let direct = inline(code).into_iter().filter_map(|path| match in_scope.get(path[0].as_str()) {
                Some(start) => Some([start, &path[1..]].concat()),
                None => self.absolute(&module, &path),
            });
            let targets = imported.chain(direct).filter_map(|path| self.file_of(&path, 0));
            edges.insert(file.as_str(), targets.filter(|target| *target != file).collect());
        }
        edges
    }

    /// A path as it is written in a module, from the crate's root; None for one that leads out of the crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Name> {
        let mut base = module.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            // A child module, or another crate.
            child => {
                let is_child = self.files.contains_key(&[module, &[child.to_owned()]].concat());
                is_child.then_some(())?;
            }
        }
        Some([base, rest.to_vec()].concat())
    }

    /// The file that defines what a path from the root stands for.
    fn file_of(&self, path: &[String], depth: usize) -> Option<&'a str> {
        if depth > 8 {
            return None;
        }
        let mut module = Vec::new();
        for (at, part) in path.iter().enumerate() {
            let next = [&module[..], std::slice::from_ref(part)].concat();
            if self.files.contains_key(&next) {
                module = next;
                continue;
            }
            let re_exports = self.re_exports.get(&module).map_or(&[][..], Vec::as_slice);
            if let Some((_, target)) = re_exports.iter().find(|(alias, _)| alias == part) {
                return self.file_of(&[target, &path[at + 1..]].concat(), depth + 1);
            }
            // By a macro or by itself: the file of a glob that knows the name defines it.
            let knows = |file: &&str| {
                self.code[*file].split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == part)
            };
            let globs = re_exports.iter().filter(|(alias, _)| alias == "*");
            let mut of_globs = globs.filter_map(|(_, target)| self.file_of(target, depth + 1));
            return of_globs.find(knows).or_else(|| self.files.get(&module).copied());
        }
        self.files.get(&module).copied()
    }
}

/// `x.rs` may lie in a folder `x` as well as beside it.
fn lie_in_one_folder(files: &[&str]) -> bool {
    let folder = |file: &str| file.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let own = |file: &str| file.trim_end_matches(".rs").to_owned();
    let candidates = files.iter().flat_map(|file| [folder(file), own(file)]);
    candidates.into_iter().any(|one| files.iter().all(|file| folder(file) == one || own(file) == one))
}

fn reachable<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(file) = open.pop() {
        for &next in edges.get(file).into_iter().flatten() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

fn module_of(file: &str) -> Name {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if ["lib", "main"].contains(&path) { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

struct Use {
    path: Name,
    /// The name it has here.
    alias: String,
    is_public: bool,
}

/// Every name that the `use` declarations of a file bring in.
fn uses(code: &str) -> Vec<Use> {
    let mut found = Vec::new();
    for Declaration { is_public, tree } in declarations(code).0 {
        let mut flat = Vec::new();
        flatten(&[], tree, &mut flat);
        found.extend(flat.into_iter().map(|(path, alias)| Use { path, alias, is_public }));
    }
    found
}

/// `use tree;`
struct Declaration<'a> {
    is_public: bool,
    tree: &'a str,
}

/// The `use` declarations of a file, and what is left without them.
fn declarations(code: &str) -> (Vec<Declaration<'_>>, String) {
    let (mut found, mut rest) = (Vec::new(), String::new());
    let mut from = 0;
    while let Some(at) = code[from..].find("use ").map(|at| from + at) {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_declaration = line.is_empty() || line == "pub" || line.starts_with("pub(") && line.ends_with(')');
        let end = code[at..].find(';').map(|end| at + end).filter(|_| is_declaration);
        rest.push_str(&code[from..at]);
        if let Some(end) = end {
            found.push(Declaration { is_public: !line.is_empty(), tree: &code[at + 4..end] });
        }
        from = end.unwrap_or(at + 4);
    }
    rest.push_str(&code[from..]);
    (found, rest)
}

/// The paths of a tree such as `a::{b, c as d, e::*}`.
fn flatten(prefix: &[String], tree: &str, found: &mut Vec<(Name, String)>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let path: Name = names(&tree[..open]);
        let prefix = [prefix, &path].concat();
        let close = tree.rfind('}').unwrap_or(tree.len());
        let (mut depth, mut from) = (0, open + 1);
        for (at, c) in tree[..close].char_indices().skip_while(|(at, _)| *at <= open) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    flatten(&prefix, &tree[from..at], found);
                    from = at + 1;
                }
                _ => {}
            }
        }
        flatten(&prefix, &tree[from..close], found);
        return;
    }
    if tree.is_empty() {
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path = [prefix, &names(path)].concat();
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let last = path.last().cloned().unwrap_or_default();
    let alias = alias.map_or(last.clone(), str::to_owned);
    if last == "*" {
        path.pop();
    }
    found.push((path, alias));
}

fn names(path: &str) -> Name {
    path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Paths of two names and more, `use` declarations left out.
fn inline(code: &str) -> Vec<Name> {
    let (_, code) = declarations(code);
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.split(|c: char| !is_part(c)).map(names).filter(|path| path.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let code = files.iter().map(|(file, code)| ((*file).to_owned(), (*code).to_owned())).collect();
        let found = Imports::of(&code).circles();
        found.into_iter().map(|circle| circle.into_iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_circle_is_found_through_re_exports_and_lists() {
        let files = [
            ("a/mod.rs", "mod one;\npub use one::One;"),
            ("a/one.rs", "use crate::b::{self, two::{Two}};"),
            ("b/mod.rs", "pub mod two;"),
            ("b/two.rs", "fn f() { crate::a::One::new() }"),
        ];
        assert_eq!(circles(&files), [["a/one.rs", "b/two.rs"]]);
    }

    #[test]
    fn files_of_one_folder_may_know_one_another() {
        let files = [("a/mod.rs", "mod one;\nuse one::One;\npub struct A;"), ("a/one.rs", "use super::A;")];
        assert_eq!(circles(&files), Vec::<Vec<String>>::new());
        let files = [("a.rs", "mod one;\nuse one::One;\npub struct A;"), ("a/one.rs", "use super::A;")];
        assert_eq!(circles(&files), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_module_in_scope_leads_to_what_is_used_of_it() {
        let files = [
            ("a/mod.rs", "pub mod one;\nfn f() { one::g() }"),
            ("a/one.rs", "use crate::b;\npub fn g() { b::two::h() }"),
            ("b/mod.rs", "pub mod two;"),
            ("b/two.rs", "pub fn h() { crate::a::f() }"),
        ];
        assert_eq!(circles(&files), [["a/mod.rs", "a/one.rs", "b/two.rs"]]);
    }

    #[test]
    fn one_way_is_no_circle() {
        let files = [("a.rs", "use crate::b::two::Two;"), ("b/two.rs", "use super::three::Three;"), ("b/three.rs", "")];
        assert_eq!(circles(&files), Vec::<Vec<String>>::new());
    }
}
