//! The file as it is written: sections of known keys, every value still text, and the keys that are not known.
//!
//! Read with the declared keys at hand, so that a token of digits keeps its zeros, and all unknown keys are reported at
//! once with the line of none of them lost to the first.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::keys::{Key, ROOT, Shape};

/// A section.
#[derive(Clone, Debug, Default)]
pub struct Node {
    values: Vec<(&'static str, Content)>,
    pub unknown: Vec<String>,
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
        Node { values: values.collect(), unknown: self.unknown.clone() }
    }
}

/// The whole file.
#[derive(Debug, Default)]
pub struct Root(pub Node);

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Root, D::Error> {
        Section(&ROOT).deserialize(deserializer).map(|node| Root(node.unwrap_or_default()))
    }
}

/// Reads a section of these keys; None where it is left empty.
#[derive(Clone, Copy)]
struct Section(&'static [Key]);

impl<'de> DeserializeSeed<'de> for Section {
    type Value = Option<Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Node>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Section {
    type Value = Option<Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section of keys")
    }

    fn visit_none<E: Error>(self) -> Result<Option<Node>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Node>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Node>, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Node>, A::Error> {
        let mut node = Node::default();
        while let Some(name) = map.next_key::<String>()? {
            let Some(key) = self.0.iter().find(|key| key.name == name) else {
                map.next_value::<IgnoredAny>()?;
                node.unknown.push(name);
                continue;
            };
            if node.content(key.name).is_some() {
                return Err(A::Error::custom(format!("duplicate key `{name}`")));
            }
            let content = match &key.shape {
                Shape::Value(_) => map.next_value::<Option<String>>()?.map(Content::Text),
                Shape::Section(keys) => map.next_value_seed(Section(keys))?.map(Content::Section),
                Shape::List(keys) => map.next_value_seed(List(keys))?.map(Content::List),
                Shape::Named(keys) => map.next_value_seed(Named(keys))?.map(Content::Named),
            };
            node.values.extend(content.map(|content| (key.name, content)));
        }
        Ok(Some(node))
    }
}

/// Reads a list of sections.
struct List(&'static [Key]);

impl<'de> DeserializeSeed<'de> for List {
    type Value = Option<Vec<Node>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Option<Vec<Node>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sections")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element_seed(Section(self.0))? {
            nodes.push(node.unwrap_or_default());
        }
        Ok(Some(nodes))
    }
}

/// Reads sections by their names.
struct Named(&'static [Key]);

impl<'de> DeserializeSeed<'de> for Named {
    type Value = Option<Vec<(String, Node)>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Named {
    type Value = Option<Vec<(String, Node)>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sections by their names")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut nodes: Vec<(String, Node)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if nodes.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("duplicate key `{name}`")));
            }
            nodes.push((name, map.next_value_seed(Section(self.0))?.unwrap_or_default()));
        }
        Ok(Some(nodes))
    }
}
