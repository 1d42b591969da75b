//! The reference as data: the groups of the OpenAPI document with their operations.

use super::schema::{Field, Members, Schemas};
use super::{command, inline};
use crate::http::core::problem::ProblemType;
use serde_json::Value;

/// Depth of the objects in an example of a response.
const EXAMPLE_DEPTH: usize = 4;

/// The API reference.
pub struct Reference {
    /// The server's public URL.
    pub(super) server: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) tags: Vec<Tag>,
    /// The codes of errors.
    pub(super) codes: Vec<String>,
    /// The members of a problem document.
    pub(super) problem: Vec<Field>,
}

/// A group of operations.
pub(super) struct Tag {
    pub(super) name: String,
    /// The last part of its URL.
    pub(super) slug: String,
    /// As HTML.
    pub(super) description: String,
    pub(super) operations: Vec<Operation>,
}

/// One operation; descriptions are HTML.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: String,
    /// Who may call it.
    pub(super) access: String,
    pub(super) parameters: Vec<Field>,
    pub(super) bodies: Vec<Body>,
    pub(super) responses: Vec<Answer>,
    pub(super) command: String,
}

/// A request body in one media type.
pub(super) struct Body {
    pub(super) media: String,
    pub(super) members: Vec<Members>,
    /// Examples with their names.
    pub(super) examples: Vec<(String, String)>,
}

/// A response with one status.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) description: String,
    pub(super) contents: Vec<Content>,
    /// The problem types with this status.
    pub(super) problems: Vec<ProblemType>,
}

/// A response body in one media type.
pub(super) struct Content {
    pub(super) media: String,
    /// If an earlier response of the operation has the same body: the status of that response. The body is
    /// then not described again.
    pub(super) same_as: Option<String>,
    pub(super) members: Vec<Members>,
    pub(super) example: String,
}

impl Reference {
    /// Reads the document. `server` is the public URL of this server.
    #[must_use]
    pub fn new(document: &Value, server: &str) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tags = document["tags"].as_array().into_iter().flatten();
        let schemas = &document["components"]["schemas"];
        let words = schemas["ErrorCode"]["anyOf"][0]["enum"].as_array().into_iter().flatten();
        let problem = Schemas(document).members(&schemas["Problem"]);
        let server = server.trim_end_matches('/').to_owned();
        Self {
            version: text(&document["info"]["version"]),
            description: text(&document["info"]["description"]),
            tags: tags.map(|tag| Tag::new(document, tag, &server)).collect(),
            codes: words.map(text).collect(),
            problem: problem.into_iter().flat_map(|members| members.fields).collect(),
            server,
        }
    }
}

impl Tag {
    fn new(document: &Value, tag: &Value, server: &str) -> Self {
        let name = tag["name"].as_str().unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let methods = paths.flat_map(|(path, methods)| {
            methods
                .as_object()
                .into_iter()
                .flatten()
                .map(move |(method, operation)| (path, method, operation))
        });
        let own = methods.filter(|(.., operation)| {
            operation["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == name))
        });
        Self {
            name: capitalized(name),
            slug: name.replace(' ', "-"),
            description: inline(tag["description"].as_str().unwrap_or_default()),
            operations: own
                .map(|(path, method, operation)| Operation::new(document, path, method, operation, server))
                .collect(),
        }
    }
}

impl Operation {
    fn new(document: &Value, path: &str, method: &str, operation: &Value, server: &str) -> Self {
        let schemas = Schemas(document);
        let id = operation["operationId"].as_str().unwrap_or_default();
        let method = method.to_uppercase();
        let bodies = bodies(schemas, operation);
        let content = &operation["requestBody"]["content"]["application/json"];
        // The example that the demonstration server accepts. It is the first one in the source, but JSON
        // objects are sorted by name, so it is found by its name.
        let example = ["usual", "stored", "run"].into_iter().find_map(|name| content["examples"].get(name));
        let command = command::command(id, &method, server, example.map(|example| &example["value"]));
        Self {
            id: id.to_owned(),
            path: path.to_owned(),
            summary: inline(operation["summary"].as_str().unwrap_or_default().trim_end_matches('.')),
            description: inline(operation["description"].as_str().unwrap_or_default()),
            access: access(operation),
            parameters: parameters(schemas, operation),
            bodies,
            responses: responses(schemas, operation),
            command: command.unwrap_or_default(),
            method,
        }
    }
}

/// The responses of an operation.
fn responses(schemas: Schemas<'_>, operation: &Value) -> Vec<Answer> {
    let mut known: Vec<(&Value, &str)> = Vec::new();
    let mut answers = Vec::new();
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let contents = answer["content"].as_object().into_iter().flatten();
        let contents = contents.filter(|(media, _)| *media != "application/problem+json");
        let contents = contents.map(|(media, body)| {
            let same_as = known.iter().find(|(schema, _)| **schema == body["schema"]);
            let content = Content::new(schemas, media, &body["schema"], same_as.map(|(_, status)| *status));
            known.push((&body["schema"], status));
            content
        });
        answers.push(Answer {
            status: status.clone(),
            description: inline(answer["description"].as_str().unwrap_or_default()),
            contents: contents.collect(),
            problems: problems(operation, status),
        });
    }
    answers
}

/// The problem types that a response of an operation can have.
fn problems(operation: &Value, status: &str) -> Vec<ProblemType> {
    let of_this = |kind: &ProblemType| match kind {
        ProblemType::NotPublishedYet => operation["tags"][0] == "register",
        ProblemType::AlreadyCreated => operation["operationId"] == "create_key",
        _ => true,
    };
    let kinds = ProblemType::ALL.iter().copied();
    kinds.filter(|kind| kind.status().as_str() == status && of_this(kind)).collect()
}

impl Content {
    fn new(schemas: Schemas<'_>, media: &str, schema: &Value, same_as: Option<&str>) -> Self {
        let is_json = media == "application/json";
        let example = if is_json {
            pretty(&schemas.example(schema, "", EXAMPLE_DEPTH))
        } else {
            file_example(media).to_owned()
        };
        let members = if is_json { schemas.members(schema) } else { Vec::new() };
        Self { media: media.to_owned(), same_as: same_as.map(str::to_owned), members, example }
    }
}

fn bodies(schemas: Schemas<'_>, operation: &Value) -> Vec<Body> {
    let content = operation["requestBody"]["content"].as_object().into_iter().flatten();
    content
        .map(|(media, body)| {
            let named = body["examples"].as_object().into_iter().flatten();
            let mut examples: Vec<(String, String)> =
                named.map(|(name, example)| (name.clone(), pretty(&example["value"]))).collect();
            examples.extend(body["example"].as_str().map(|text| ("usual".to_owned(), shown(text))));
            let is_json = media == "application/json";
            let members = if is_json { schemas.members(&body["schema"]) } else { Vec::new() };
            Body { media: media.clone(), members, examples }
        })
        .collect()
}

fn parameters(schemas: Schemas<'_>, operation: &Value) -> Vec<Field> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .map(|parameter| Field {
            name: parameter["name"].as_str().unwrap_or_default().to_owned(),
            kind: format!(
                "{}, {}",
                parameter["in"].as_str().unwrap_or_default(),
                schemas.kind(&parameter["schema"])
            ),
            required: parameter["required"] == true,
            description: inline(parameter["description"].as_str().unwrap_or_default()),
        })
        .collect()
}

/// Who may call an operation, as HTML.
fn access(operation: &Value) -> String {
    let security = operation["security"].as_array();
    let without_token =
        security.is_none_or(|choices| choices.iter().any(|one| *one == serde_json::json!({})));
    let roles: Vec<String> = operation["x-roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|role| format!("<code>{role}</code>"))
        .collect();
    match (without_token, roles.is_empty()) {
        (true, _) => "Public: no token is needed.".into(),
        (false, true) => "With the token of any organisation, whatever its role.".into(),
        (false, false) => {
            format!("With the token of an organisation that has the role {}.", one_of(&roles))
        }
    }
}

/// Words as a list with "or" before the last one.
fn one_of(words: &[String]) -> String {
    match words {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        words => words.concat(),
    }
}

/// Control characters of a table as a page can show them.
fn shown(text: &str) -> String {
    text.replace('\u{1d}', "␝").replace("\r\n", "\n")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The beginning of a response that is no JSON.
fn file_example(media: &str) -> &'static str {
    match media {
        "text/csv" => "seal_number,kind,species,…\n",
        "application/x-ndjson" => {
            "{\"number\":\"DEMO-000001\",\"marking_code\":\"010952123454321321…\\u001d91…\\u001d92…\"}\n"
        }
        "image/svg+xml" => "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"50mm\" …>…</svg>\n",
        _ => "c2sp.org/tlog-proof@v1\nindex 654\n3q2+7w…\n\nwood.example/register\n747\n…\n",
    }
}
