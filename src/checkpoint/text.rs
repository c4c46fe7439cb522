//! `Debug` texts, which describe parts of a model in files of versions 1 and 2.

use serde_json::{Map, Value, json};

/// How deep texts are read: a file may hold anything.
const DEPTH: usize = 32;
/// The field that holds the name of a parsed struct.
const NAME: &str = "name";

/// Puts what texts say in place of the texts, as far as they can be read.
pub(super) fn parse(value: &mut Value) {
    match value {
        Value::String(text) => {
            let mut reader = Reader { rest: text };
            if let Some(read) = reader.value(DEPTH).filter(|_| reader.rest.is_empty()) {
                *value = read;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(parse),
        Value::Object(fields) => fields.values_mut().for_each(parse),
        _ => {}
    }
}

/// Leaves out fields of `own` that `saved` does not know and that ask for nothing: an earlier version had no such setting.
pub(super) fn forget_new(saved: &Value, own: &mut Value) {
    match (saved, own) {
        (Value::Object(saved), Value::Object(own)) => {
            own.retain(|key, value| saved.contains_key(key) || !asks_nothing(value));
            for (key, value) in own {
                forget_new(saved.get(key).unwrap_or(&Value::Null), value);
            }
        }
        (Value::Array(saved), Value::Array(own)) => {
            saved.iter().zip(own).for_each(|(saved, own)| forget_new(saved, own));
        }
        _ => {}
    }
}

fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => matches!(text.as_str(), "None" | "false" | "0" | "0.0"),
        Value::Object(fields) => fields.iter().all(|(key, v)| key == NAME || asks_nothing(v)),
        Value::Array(list) => list.is_empty(),
        Value::Null | Value::Bool(false) => true,
        _ => false,
    }
}

/// Reads what derived `Debug` writes.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: char) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A name or a number.
    fn word(&mut self) -> Option<&'a str> {
        let end = |c: char| c.is_whitespace() || "{}[](),:\"".contains(c);
        let (word, rest) = self.rest.split_at(self.rest.find(end).unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// A text in quotes, which stay.
    fn quoted(&mut self) -> Option<Value> {
        let mut escaped = true;
        let end = self.rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let (text, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        Some(text.into())
    }

    /// Values up to `end`, each with a comma between.
    fn list(&mut self, end: char, depth: usize) -> Option<Vec<Value>> {
        let mut list = Vec::new();
        loop {
            self.spaces();
            if self.eat(end) {
                return Some(list);
            }
            list.push(self.value(depth)?);
            self.spaces();
            if !self.eat(',') && !self.rest.starts_with(end) {
                return None;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        if self.eat('[') {
            return self.list(']', depth).map(Value::Array);
        }
        if self.eat('(') {
            return self.list(')', depth).map(Value::Array);
        }
        let name = self.word()?;
        if self.eat('(') {
            let list = self.list(')', depth)?;
            return Some(json!({ NAME: name, "of": list }));
        }
        let Some(rest) = self.rest.strip_prefix(" {") else { return Some(name.into()) };
        self.rest = rest;
        let mut fields = Map::from_iter([(NAME.into(), name.into())]);
        loop {
            self.spaces();
            if self.eat('}') {
                return Some(fields.into());
            }
            let field = self.word()?;
            let value = self.eat(':').then(|| self.spaces()).and_then(|()| self.value(depth))?;
            if fields.insert(field.into(), value).is_some() {
                return None;
            }
            self.spaces();
            if !self.eat(',') && !self.rest.starts_with('}') {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        let mut value = text.into();
        parse(&mut value);
        value
    }

    #[test]
    fn debug_text_is_read() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "the text alone is read")]
        struct All(Option<f32>, Vec<&'static str>, (u8, bool), Inner);
        #[derive(Debug)]
        #[expect(dead_code, reason = "the text alone is read")]
        struct Inner {
            rate: f32,
        }
        let all = All(Some(-1e-7), vec!["a, \"}", "\\"], (1, true), Inner { rate: f32::INFINITY });
        let expected = json!({ "name": "All", "of": [
            { "name": "Some", "of": ["-1e-7"] },
            ["\"a, \\\"}\"", "\"\\\\\""],
            ["1", "true"],
            { "name": "Inner", "rate": "inf" },
        ]});
        assert_eq!(read(&format!("{all:?}")), expected);
        assert_eq!(read(&format!("{all:#?}")), expected);
    }

    #[test]
    fn other_texts_stay() {
        let deep = "[".repeat(1 << 20);
        let texts = [
            "",
            "A {",
            "A { x: 1, x: 2 }",
            "two words",
            "A(1",
            "\"open",
            "A { x }",
            "[1 2]",
            &deep,
        ];
        for text in texts {
            assert_eq!(read(text), text);
        }
    }

    #[test]
    fn new_settings_are_left_out_while_they_ask_for_nothing() {
        let saved = read("Dense { units: 3 }");
        let left = |text: &str| {
            let mut own = read(text);
            forget_new(&saved, &mut own);
            own
        };
        let off = "Dense { units: 3, penalty: Penalty { l1: 0.0, own: None }, flag: false }";
        assert_eq!(left(off), saved);
        for on in ["Dense { units: 3, flag: true }", "Dense { units: 3, penalty: P { l1: 0.1 } }"] {
            assert_ne!(left(on), saved, "{on}");
        }
        assert_ne!(left("Dense { units: 4 }"), saved);
    }
}
