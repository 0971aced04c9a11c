//! The file as it is written: sections of known keys, every value still text, and what cannot be read of it.
//!
//! Read with the declared keys and the file's outline at hand, so that a token of digits keeps its zeros, and unknown keys,
//! keys that are written twice and values of another kind are reported all at once.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::keys::{Key, ROOT, Shape};
use super::outline::Outline;

/// A section.
#[derive(Clone, Debug, Default)]
pub struct Node {
    values: Vec<(&'static str, Content)>,
    pub misread: Vec<(String, Misread)>,
}

/// Why a key, or the whole of a list or of sections by names, could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    Unknown,
    /// It was there already.
    Twice,
    /// What stands there is of another kind: this one.
    Kind(&'static str),
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    Section(Node),
    List(Vec<Node>),
    Named(Vec<(String, Node)>),
}

impl Node {
    fn content(&self, key: &str) -> Option<&Content> {
        self.values.iter().find(|(name, _)| *name == key).map(|(_, content)| content)
    }

    /// What is written for a key; None where it is left out, or left empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.content(key)? {
            Content::Text(text) => Some(text),
            Content::Section(_) | Content::List(_) | Content::Named(_) => None,
        }
    }

    pub fn section(&self, key: &str) -> Option<&Node> {
        match self.content(key)? {
            Content::Section(section) => Some(section),
            Content::Text(_) | Content::List(_) | Content::Named(_) => None,
        }
    }

    pub fn list(&self, key: &str) -> &[Node] {
        match self.content(key) {
            Some(Content::List(sections)) => sections,
            Some(Content::Text(_) | Content::Section(_) | Content::Named(_)) | None => &[],
        }
    }

    /// In the order written.
    pub fn named(&self, key: &str) -> &[(String, Node)] {
        match self.content(key) {
            Some(Content::Named(sections)) => sections,
            Some(Content::Text(_) | Content::Section(_) | Content::List(_)) | None => &[],
        }
    }
}

impl Node {
    /// The same sections, every text replaced by what `text` makes of its path and itself.
    pub fn map_texts(&self, path: &str, text: &mut impl FnMut(&str, &str) -> String) -> Node {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let values = (self.values.iter()).map(|(key, content)| {
            let path = below(key);
            let content = match content {
                Content::Text(written) => Content::Text(text(&path, written)),
                Content::Section(section) => Content::Section(section.map_texts(&path, text)),
                Content::List(sections) => Content::List(
                    (sections.iter().enumerate())
                        .map(|(index, section)| section.map_texts(&format!("{path}[{index}]"), text))
                        .collect(),
                ),
                Content::Named(sections) => Content::Named(
                    (sections.iter())
                        .map(|(name, section)| (name.clone(), section.map_texts(&format!("{path}.{name}"), text)))
                        .collect(),
                ),
            };
            (*key, content)
        });
        Node { values: values.collect(), misread: self.misread.clone() }
    }
}

/// Reads the whole file, whose outline is a section or nothing.
pub struct Root<'a>(pub &'a Outline);

impl<'de> DeserializeSeed<'de> for Root<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Section { keys: &ROOT, outline: self.0 }.deserialize(deserializer)
    }
}

/// Reads a section of these keys, or nothing.
#[derive(Clone, Copy)]
struct Section<'a> {
    keys: &'static [Key],
    outline: &'a Outline,
}

impl Section<'_> {
    /// What the outline has at the place of a key, in the order of the file; None where the two disagree, which is a bug.
    fn at(&self, index: usize, name: &str) -> Option<&Outline> {
        let Outline::Section(keys) = self.outline else { return None };
        keys.get(index).filter(|(written, _)| written == name).map(|(_, outline)| outline)
    }
}

impl<'de> DeserializeSeed<'de> for Section<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_option(self)
    }
}

/// Whether what stands there can be of this shape.
fn fits(shape: &Shape, outline: &Outline) -> bool {
    match (shape, outline) {
        (_, Outline::Nothing) | (Shape::Value(_), Outline::Text) | (Shape::List(_), Outline::List(_)) => true,
        (Shape::Section(_) | Shape::Named(_), Outline::Section(_)) => true,
        (Shape::Value(_) | Shape::List(_), Outline::Section(_))
        | (Shape::Value(_) | Shape::Section(_) | Shape::Named(_), Outline::List(_))
        | (Shape::List(_) | Shape::Section(_) | Shape::Named(_), Outline::Text) => false,
    }
}

impl<'de> Visitor<'de> for Section<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section of keys")
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        let mut seen = Vec::new();
        let mut index = 0;
        while let Some(name) = map.next_key::<String>()? {
            let outline = self.at(index, &name).ok_or_else(|| A::Error::custom("the file is read in two ways"))?;
            index += 1;
            let known = self.keys.iter().find(|key| key.name == name);
            let misread = match known {
                None => Some(Misread::Unknown),
                Some(key) if seen.contains(&key.name) => Some(Misread::Twice),
                Some(key) if !fits(&key.shape, outline) => Some(Misread::Kind(outline.in_words())),
                Some(_) => None,
            };
            seen.extend(known.map(|key| key.name));
            let (None, Some(key)) = (misread, known) else {
                map.next_value::<IgnoredAny>()?;
                node.misread.extend(misread.map(|misread| (name, misread)));
                continue;
            };
            let content = match &key.shape {
                _ if *outline == Outline::Nothing => {
                    map.next_value::<IgnoredAny>()?;
                    None
                }
                Shape::Value(_) => map.next_value::<Option<String>>()?.map(Content::Text),
                Shape::Section(keys) => Some(Content::Section(map.next_value_seed(Section { keys, outline })?)),
                Shape::List(keys) => Some(Content::List(map.next_value_seed(List { keys, outline })?)),
                Shape::Named(keys) => Some(Content::Named(map.next_value_seed(Named { keys, outline })?)),
            };
            node.values.extend(content.map(|content| (key.name, content)));
        }
        Ok(node)
    }
}

/// A section of a list, or one by its name, that is of another kind: it says so itself, without a key.
fn other(outline: &Outline) -> Option<Node> {
    let misread = vec![(String::new(), Misread::Kind(outline.in_words()))];
    let is_section = matches!(outline, Outline::Section(_) | Outline::Nothing);
    (!is_section).then(|| Node { values: Vec::new(), misread })
}

/// Reads a list of sections.
struct List<'a> {
    keys: &'static [Key],
    outline: &'a Outline,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sections")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let outlines = if let Outline::List(outlines) = self.outline { outlines.as_slice() } else { &[] };
        let mut nodes = Vec::new();
        for outline in outlines {
            let node = match other(outline) {
                Some(node) => seq.next_element::<IgnoredAny>()?.map(|_| node),
                None => seq.next_element_seed(Section { keys: self.keys, outline })?,
            };
            nodes.extend(node);
        }
        // Its end is read, too.
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(nodes)
    }
}

/// Reads sections by their names.
struct Named<'a> {
    keys: &'static [Key],
    outline: &'a Outline,
}

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = Vec<(String, Node)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Vec<(String, Node)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sections by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut nodes: Vec<(String, Node)> = Vec::new();
        let mut index = 0;
        while let Some(name) = map.next_key::<String>()? {
            let outline = Section { keys: self.keys, outline: self.outline }.at(index, &name).cloned();
            let outline = outline.ok_or_else(|| A::Error::custom("the file is read in two ways"))?;
            index += 1;
            let twice = nodes.iter().any(|(known, _)| *known == name);
            let node = match other(&outline) {
                _ if twice => {
                    map.next_value::<IgnoredAny>()?;
                    Node { values: Vec::new(), misread: vec![(String::new(), Misread::Twice)] }
                }
                Some(node) => {
                    map.next_value::<IgnoredAny>()?;
                    node
                }
                None => map.next_value_seed(Section { keys: self.keys, outline: &outline })?,
            };
            nodes.push((name, node));
        }
        Ok(nodes)
    }
}
