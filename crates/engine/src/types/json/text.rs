//! JSON text to nodes and back. serde_json knows the syntax; the nodes and the layout are ours.

use std::fmt;
use std::io;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::Formatter;

use super::{DEPTH_MAX, Fields, Node};

/// Reads one value with nothing but space around it. Of fields with one name the last counts.
///
/// # Errors
/// What is wrong and where, as one line.
pub fn parse(text: &[u8]) -> Result<Node, String> {
    // serde_json refuses what is nested deeper than 128, which is DEPTH_MAX.
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// How text is laid out: what stands before each line's content per level, at line ends, and behind colons.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout<'a> {
    /// Once per level at the start of a line.
    pub indent: &'a [u8],
    /// At the end of a line.
    pub newline: &'a [u8],
    /// Between a colon and the value.
    pub space: &'a [u8],
}

impl Node {
    /// Appends the value as text.
    pub fn print(&self, layout: Layout<'_>, out: &mut Vec<u8>) {
        let printed = if layout.indent.is_empty() && layout.newline.is_empty() && layout.space.is_empty() {
            serde_json::to_writer(&mut *out, self)
        } else {
            let lines = Lines { layout, level: 0, has_content: false };
            self.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, lines))
        };
        printed.expect("writing to memory cannot fail, and all keys are strings");
    }

    /// The value as text without any layout.
    pub fn to_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.print(Layout::default(), &mut out);
        out
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Float(value as f64), Node::Int))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        if value.is_finite() { Ok(Node::Float(value)) } else { Err(E::custom("number out of range")) }
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Str(value.into()))
    }
    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Str(value.into_boxed_str()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        items.shrink_to_fit();
        Ok(Node::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Fields::default();
        while let Some((name, value)) = map.next_entry::<String, Node>()? {
            fields.insert(name.into_boxed_str(), value);
        }
        if fields.len() > u32::MAX as usize {
            return Err(A::Error::custom("object with too many fields"));
        }
        fields.shrink_to_fit();
        Ok(Node::Object(Box::new(fields)))
    }
}

/// Lines as the arguments INDENT, NEWLINE and SPACE of JSON.GET lay them out.
struct Lines<'a> {
    layout: Layout<'a>,
    level: usize,
    has_content: bool,
}

impl Lines<'_> {
    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.layout.newline)?;
        (0..self.level.min(DEPTH_MAX)).try_for_each(|_| writer.write_all(self.layout.indent))
    }

    fn open<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level += 1;
        self.has_content = false;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level -= 1;
        if self.has_content {
            self.line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer)
    }
}

impl Formatter for Lines<'_> {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_content = true;
        Ok(())
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b":")?;
        writer.write_all(self.layout.space)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_content = true;
        Ok(())
    }
}
