//! XML in and out: a writer for answers, a reader with limits for bodies.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::error::S3Error;

/// The namespace of every answer but errors.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// The deepest body that any operation takes has four levels.
const MAX_DEPTH: usize = 8;
/// The longest body names 10,000 parts, each with a handful of children. An element takes many
/// times the memory of its text: without a limit a body of megabytes would take hundreds of them.
const MAX_ELEMENTS: usize = 100_000;

/// An XML answer being written. Elements that are opened must be closed by the same caller.
pub(crate) struct Xml {
    out: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// An answer whose root has the S3 namespace.
    pub(crate) fn new(root: &'static str) -> Self {
        let mut this = Self::bare();
        this.out.push_str(&format!("<{root} xmlns=\"{NAMESPACE}\">"));
        this.open.push(root);
        this
    }

    /// An answer that is one element with text.
    pub(crate) fn with_text(root: &'static str, text: &str) -> Self {
        let mut this = Self::new(root);
        escape(&mut this.out, text);
        this
    }

    /// Only the declaration; errors have no namespace.
    pub(crate) fn bare() -> Self {
        let out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        Self { out, open: Vec::new() }
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, tag: &'static str) -> &mut Self {
        self.out.push('<');
        self.out.push_str(tag);
        self.out.push('>');
        self.open.push(tag);
        self
    }

    /// Opens an element with attributes, written out by the caller.
    pub(crate) fn open_with(&mut self, tag: &'static str, attributes: &str) -> &mut Self {
        self.out.push_str(&format!("<{tag} {attributes}>"));
        self.open.push(tag);
        self
    }

    /// Closes the element opened last.
    pub(crate) fn close(&mut self) -> &mut Self {
        if let Some(tag) = self.open.pop() {
            self.end(tag);
        }
        self
    }

    /// An element with text.
    pub(crate) fn text(&mut self, tag: &str, text: &str) -> &mut Self {
        if text.is_empty() {
            self.out.push('<');
            self.out.push_str(tag);
            self.out.push_str("/>");
        } else {
            self.out.push('<');
            self.out.push_str(tag);
            self.out.push('>');
            escape(&mut self.out, text);
            self.end(tag);
        }
        self
    }

    /// An element with a value that needs no escaping.
    pub(crate) fn value(&mut self, tag: &str, value: impl std::fmt::Display) -> &mut Self {
        self.text(tag, &value.to_string())
    }

    /// An element with text, where there is any.
    pub(crate) fn optional(&mut self, tag: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(tag, text);
        }
        self
    }

    /// The finished document, with everything closed.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn end(&mut self, tag: &str) {
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
    }
}

/// Control characters cannot be in new keys, but old rows may hold them: they become character
/// references, as AWS writes them (clients that need to read them ask for `encoding-type=url`).
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push_str(&format!("&#x{:x};", u32::from(c))),
            c => out.push(c),
        }
    }
}

/// An element of a body: its name without prefix, its text, its children.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The text of the first child of that name, without surrounding white space.
    pub(crate) fn child(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|c| c.name == name).map(|c| c.text.trim())
    }

    /// The text of the first child of that name, exactly as it came: keys may begin or end with
    /// white space.
    pub(crate) fn verbatim(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|c| c.name == name).map(|c| c.text.as_str())
    }

    /// All children of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |c| c.name == name)
    }
}

/// Reads a body whose root must be `root` (with or without namespace). No document type, no
/// entities but the five of XML itself, bounded depth and number of elements; the caller bounds
/// the size.
pub(crate) fn parse(body: &[u8], root: &str) -> Result<Element, S3Error> {
    let text = std::str::from_utf8(body).map_err(|_| S3Error::malformed_xml())?;
    let element =
        document(text.trim_start_matches('\u{feff}')).ok_or_else(S3Error::malformed_xml)?;
    if element.name == root { Ok(element) } else { Err(S3Error::malformed_xml()) }
}

fn document(text: &str) -> Option<Element> {
    let mut reader = Reader::from_str(text);
    let mut stack: Vec<Element> = Vec::new();
    let mut done: Option<Element> = None;
    let mut elements = 0;
    loop {
        let event = reader.read_event().ok()?;
        if matches!(event, Event::Start(_) | Event::Empty(_)) {
            elements += 1;
            if done.is_some() || stack.len() >= MAX_DEPTH || elements > MAX_ELEMENTS {
                return None;
            }
        }
        match event {
            Event::Start(start) => {
                let name = start.local_name().into_inner().to_owned();
                stack.push(Element { name, ..Element::default() });
            }
            Event::Empty(start) => {
                let name = start.local_name().into_inner().to_owned();
                attach(Element { name, ..Element::default() }, &mut stack, &mut done);
            }
            Event::End(_) => {
                let element = stack.pop()?;
                attach(element, &mut stack, &mut done);
            }
            Event::Text(text) => {
                let text = text.xml10_content();
                match stack.last_mut() {
                    Some(element) => element.text.push_str(&text),
                    None if text.trim().is_empty() => {}
                    None => return None,
                }
            }
            Event::CData(text) => {
                stack.last_mut()?.text.push_str(&text.xml10_content());
            }
            Event::GeneralRef(reference) => {
                let c = match reference.resolve_char_ref().ok()? {
                    Some(c) => c,
                    None => match reference.into_inner().as_ref() {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return None,
                    },
                };
                stack.last_mut()?.text.push(c);
            }
            Event::DocType(_) => return None,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return if stack.is_empty() { done } else { None },
        }
    }
}

fn attach(element: Element, stack: &mut [Element], done: &mut Option<Element>) {
    match stack.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *done = Some(element),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_escaped_text_and_empty_elements() {
        let mut xml = Xml::new("Root");
        xml.open("Item").text("Key", "a&<b>\"'\u{1}\n").text("Prefix", "").value("Size", 5);
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Root xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Item><Key>a&amp;&lt;b&gt;\"'&#x1;&#xa;</Key><Prefix/><Size>5</Size></Item></Root>"
        );
    }

    #[test]
    fn reads_what_clients_send() {
        let body = br#"<?xml version="1.0"?>
            <d:Delete xmlns:d="http://s3.amazonaws.com/doc/2006-03-01/"><d:Quiet> true </d:Quiet>
            <d:Object><d:Key> a&amp;b&#x20;<![CDATA[<c>]]> </d:Key></d:Object><d:Object/></d:Delete>"#;
        let root = parse(body, "Delete").unwrap();
        assert_eq!(root.child("Quiet"), Some("true"));
        let objects: Vec<_> = root.all("Object").collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0].verbatim("Key"), Some(" a&b <c> "));
        assert_eq!(objects[1].child("Key"), None);
    }

    #[test]
    fn refuses_what_is_no_document_or_could_hurt() {
        let deep = "<Delete>".repeat(9) + &"</Delete>".repeat(9);
        for bad in [
            "",
            "<Delete>",
            "<Comp",
            "</Delete>",
            "<Delete></Other>",
            "<Other/>",
            "<Delete/><Delete/>",
            "text<Delete/>",
            "<Delete>&unknown;</Delete>",
            "<Delete>&#0;</Delete>",
            "<!DOCTYPE Delete [<!ENTITY a \"b\">]><Delete/>",
            "<!DOCTYPE Delete SYSTEM \"file:///etc/passwd\"><Delete/>",
            deep.as_str(),
        ] {
            assert!(parse(bad.as_bytes(), "Delete").is_err(), "{bad}");
        }
        assert!(parse(b"<Delete>\xff</Delete>", "Delete").is_err());
        let many = |count| format!("<Delete>{}</Delete>", "<a/>".repeat(count));
        assert!(parse(many(MAX_ELEMENTS - 1).as_bytes(), "Delete").is_ok());
        assert!(parse(many(MAX_ELEMENTS).as_bytes(), "Delete").is_err());
    }
}
