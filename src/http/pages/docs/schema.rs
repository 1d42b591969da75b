//! Schemas of the OpenAPI document as lists of members, and examples made from them.

use super::inline;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How deep members are listed: `logs[].position.lat` has three levels.
const MAX_DEPTH: usize = 4;

/// A member of a body, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its path: `logs[].seal_number`.
    pub(super) name: String,
    /// Its type in words, as HTML.
    pub(super) kind: String,
    pub(super) required: bool,
    /// Its description, as HTML.
    pub(super) description: String,
}

/// The members of one form of a body.
#[derive(Clone, Debug)]
pub(super) struct Members {
    /// What distinguishes this form, as HTML; empty if there is only one.
    pub(super) title: String,
    pub(super) fields: Vec<Field>,
}

/// The schemas of a document.
#[derive(Clone, Copy)]
pub(super) struct Schemas<'d>(pub(super) &'d Value);

impl<'d> Schemas<'d> {
    /// The schema that `schema` refers to, or `schema` itself if it is not a reference.
    pub(super) fn resolved(self, schema: &'d Value) -> &'d Value {
        let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        target.and_then(|target| self.0.pointer(target)).unwrap_or(schema)
    }

    /// The alternatives of a schema except null.
    fn choices(schema: &'d Value) -> Vec<&'d Value> {
        let choices = ["oneOf", "anyOf"].iter().find_map(|name| schema[*name].as_array());
        choices.into_iter().flatten().filter(|choice| choice["type"] != "null").collect()
    }

    /// The schema that is described: references are followed, and a schema with only one alternative besides
    /// null is replaced by that alternative.
    fn unwrapped(self, schema: &'d Value) -> &'d Value {
        let schema = self.resolved(schema);
        match Self::choices(schema)[..] {
            [only] => self.unwrapped(only),
            _ => schema,
        }
    }

    /// The members of a body, in each of its forms.
    pub(super) fn members(self, schema: &'d Value) -> Vec<Members> {
        let schema = self.unwrapped(schema);
        let choices = Self::choices(schema);
        if let Some(name) = schema["discriminator"]["propertyName"].as_str() {
            return self.by_discriminator(name, &choices);
        }
        let one = |title: String, schema| Members { title, fields: self.fields(schema) };
        if choices.len() > 1 {
            let described = |choice: &Value| inline(choice["description"].as_str().unwrap_or_default());
            return choices.into_iter().map(|choice| one(described(choice), choice)).collect();
        }
        vec![one(String::new(), schema)]
    }

    /// First the members that all forms share, then what each form has in addition.
    fn by_discriminator(self, name: &str, choices: &[&'d Value]) -> Vec<Members> {
        let forms: Vec<(String, Vec<Field>)> = choices
            .iter()
            .map(|choice| {
                let word = &self.resolved(choice)["properties"][name]["enum"][0];
                (word.as_str().unwrap_or_default().to_owned(), self.fields(choice))
            })
            .collect();
        let Some((_, first)) = forms.first() else { return Vec::new() };
        let is_shared = |field: &Field| forms.iter().all(|(_, fields)| fields.contains(field));
        let mut shared: Vec<Field> = first.iter().filter(|field| is_shared(field)).cloned().collect();
        let words: Vec<String> = forms.iter().map(|(word, _)| format!("<code>{word}</code>")).collect();
        let kind = format!("one of {}", words.join(", "));
        let description = "Decides which further members there are.".to_owned();
        shared.insert(0, Field { name: name.to_owned(), kind, required: true, description });
        let mut members = vec![Members { title: "Members of every form".into(), fields: shared.clone() }];
        for (word, fields) in forms {
            let own = fields.into_iter().filter(|field| field.name != name && !shared.contains(field));
            let title = format!("With <code>{name}: {word}</code>");
            members.push(Members { title, fields: own.collect() });
        }
        members
    }

    /// The members of an object with those of the objects in it.
    fn fields(self, schema: &'d Value) -> Vec<Field> {
        let mut fields = Vec::new();
        self.collect(schema, "", MAX_DEPTH, &mut fields);
        fields
    }

    fn collect(self, schema: &'d Value, prefix: &str, depth: usize, into: &mut Vec<Field>) {
        let schema = self.unwrapped(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.collect(part, prefix, depth, into);
        }
        if schema["items"].is_object() {
            return self.collect(&schema["items"], &format!("{prefix}[]"), depth, into);
        }
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut properties: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
        properties.sort_by_key(|(name, _)| !required.contains(name.as_str()));
        for (name, property) in properties {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let described = [property, self.resolved(property)];
            let description = described.iter().find_map(|one| one["description"].as_str());
            into.push(Field {
                kind: self.kind(property),
                required: required.contains(name.as_str()),
                description: inline(description.unwrap_or_default()),
                name: path.clone(),
            });
            if depth > 1 {
                self.collect(property, &path, depth - 1, into);
            }
        }
    }

    /// The type of a value in words, as HTML.
    pub(super) fn kind(self, schema: &'d Value) -> String {
        let schema = self.resolved(schema);
        let choices = Self::choices(schema);
        let mut kind = match &choices[..] {
            [] => self.simple_kind(schema),
            // This schema allows the known words and any other string, so its type is a string.
            [words, _] if schema["anyOf"].is_array() && words["enum"].is_array() => "string".into(),
            choices => choices.iter().map(|choice| self.kind(choice)).collect::<Vec<_>>().join(" or "),
        };
        let is_null = |value: &Value| *value == "null" || value["type"] == "null";
        let alternatives = [&schema["type"], &schema["oneOf"], &schema["anyOf"]];
        if alternatives.iter().any(|list| list.as_array().is_some_and(|list| list.iter().any(is_null))) {
            kind.push_str(" or null");
        }
        kind
    }

    fn simple_kind(self, schema: &'d Value) -> String {
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<String> =
                words.iter().filter_map(Value::as_str).map(|word| format!("<code>{word}</code>")).collect();
            return match &words[..] {
                [only] => only.clone(),
                words => format!("one of {}", words.join(", ")),
            };
        }
        if schema["allOf"].is_array() {
            return "object".into();
        }
        let name = match &schema["type"] {
            Value::String(name) => name,
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("value")
            }
            _ => "value",
        };
        let between = |low: &str, high: &str, unit: &str| match (&schema[low], &schema[high]) {
            (Value::Null, Value::Null) => String::new(),
            (low, Value::Null) if *low == 0 => String::new(),
            (low, Value::Null) => format!(", at least {low}{unit}"),
            (Value::Null, high) => format!(", at most {high}{unit}"),
            (low, high) => format!(", {low} to {high}{unit}"),
        };
        match (name, schema["format"].as_str()) {
            ("string", Some("date-time")) => "time (RFC 3339)".into(),
            ("string", Some("date")) => "date".into(),
            ("string", Some("uuid")) => "UUID".into(),
            ("string", _) => format!("string{}", between("minLength", "maxLength", " characters")),
            ("array", _) => {
                let items =
                    if schema["items"] == json!({}) { "value".into() } else { self.kind(&schema["items"]) };
                format!("array of {items}{}", between("minItems", "maxItems", " items"))
            }
            (name, _) => format!("{name}{}", between("minimum", "maximum", "")),
        }
    }

    /// An example of a value, from the examples and constraints of its schema.
    pub(super) fn example(self, schema: &'d Value, name: &str, depth: usize) -> Value {
        let own = [&schema["example"], &schema["examples"][0], &schema["default"]];
        if let Some(example) = own.into_iter().find(|example| !example.is_null()) {
            return example.clone();
        }
        let target = self.resolved(schema);
        if !std::ptr::eq(target, schema) {
            return self.example(target, name, depth);
        }
        if let Some(word) = schema["enum"].as_array().and_then(|words| words.first()) {
            return word.clone();
        }
        if let Some(choice) = Self::choices(schema).first() {
            return self.example(choice, name, depth);
        }
        let mut members = Map::new();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            members.extend(self.example(part, name, depth).as_object().cloned().unwrap_or_default());
        }
        for (member, property) in schema["properties"].as_object().into_iter().flatten() {
            // The example shows the last page of a list, so it has no cursor of a next page.
            let value = match (member.as_str(), depth) {
                ("next", _) => Value::Null,
                (_, 0) => continue,
                _ => self.example(property, member, depth - 1),
            };
            members.insert(member.clone(), value);
        }
        if !members.is_empty() {
            return Value::Object(members);
        }
        let kind = match &schema["type"] {
            Value::Array(names) => names.iter().find(|name| *name != "null").unwrap_or(&Value::Null),
            one => one,
        };
        match kind.as_str() {
            Some("array") if schema["items"] == json!({}) => json!([]),
            Some("array") => json!([self.example(&schema["items"], name, depth)]),
            Some("object") => json!({}),
            Some("boolean") => json!(true),
            Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(1).max(1)),
            Some("number") => json!(1.5),
            _ => text_example(schema, name).into(),
        }
    }
}

/// An example of a text.
fn text_example(schema: &Value, name: &str) -> String {
    match (schema["format"].as_str(), schema["pattern"].as_str()) {
        (Some("date-time"), _) => "2026-10-05T04:30:00.000000Z".to_owned(),
        (Some("date"), _) => "2026-10-05".to_owned(),
        (Some("uuid"), _) => "01980a3c-5b1e-7c44-9d2f-3a6b8e0f1c25".to_owned(),
        (_, Some("^[0-9a-f]{64}$")) => {
            "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef".to_owned()
        }
        (_, Some("^01[0-9a-f]{224}$")) => format!("01{}", "5f70bf18a0860070".repeat(14)),
        _ => by_name(name).to_owned(),
    }
}

/// A text that fits the name of a member.
fn by_name(name: &str) -> &'static str {
    match name {
        "name" | "holder_name" => "ТОО «Ертіс ағаш»",
        "kk" => "Кәдімгі қарағай",
        "ru" => "Сосна обыкновенная",
        "en" => "Scots pine",
        "latin" => "Pinus sylvestris",
        "seal_number" | "number" | "first" | "last" | "code" => "DEMO-000041",
        "species" => "pinus_sylvestris",
        "kind" => "log",
        "status" | "type" => "stored",
        "felling_ticket" => "АБ 000117",
        "forestry" => "Жаңа Семей орманшылығы",
        "district" => "Бородулиха ауданы",
        "region" => "KZ-10",
        "label" => "office",
        "checkpoint" | "note" => "wood.example/register\n747\n3q2+7w…\n\n— wood.example/register …\n",
        "rule" => "L6",
        "severity" => "warning",
        "detail" => "8.828 m³ of betula_pendula commercial are marked, 8.5 m³ are permitted.",
        "text" => "{\"type\":\"stored\"}",
        "origin" => "wood.example/register",
        _ => "…",
    }
}
