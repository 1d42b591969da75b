//! Finds the log that a code names. A code is one of these: the number of a present or past seal of the log;
//! a marking code, either complete or only its identification part; or the log's id.

use crate::base::error::Result;
use crate::base::ids::LogId;
use crate::timber::seal::Code;
use sqlx::PgConnection;
use uuid::Uuid;

/// A code split into columns for SQL: exactly one of the three columns is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    pub id: Option<Uuid>,
    pub number: Option<String>,
    pub identification: Option<String>,
}

impl Key {
    pub(crate) fn of(code: &Code) -> Self {
        match code {
            Code::LogId(id) => Self { id: Some(id.0), ..Self::default() },
            Code::SealNumber(number) => Self { number: Some(number.as_str().to_owned()), ..Self::default() },
            Code::Identification(identification) => {
                Self { identification: Some(identification.as_str().to_owned()), ..Self::default() }
            }
            Code::MarkingCode(code) => {
                Self { identification: Some(code.identification_str().to_owned()), ..Self::default() }
            }
        }
    }
}

/// Finds the logs that `codes` name, in the order of `codes`. `None` for a code that names no log, such as a
/// seal that is on no log. One round trip for any number of codes, and a second one if a code that names no
/// log can also be read as another code ([`Code::other_reading`]). Does not check access.
///
/// # Errors
/// Database errors.
pub async fn resolve(db: &mut PgConnection, codes: &[Code]) -> Result<Vec<Option<LogId>>> {
    let mut logs = resolve_literal(&mut *db, codes).await?;
    let unknown = logs.iter().zip(codes).enumerate().filter(|(_, (log, _))| log.is_none());
    let (places, others): (Vec<usize>, Vec<Code>) =
        unknown.filter_map(|(place, (_, code))| Some((place, code.other_reading()?))).unzip();
    if !others.is_empty() {
        for (place, log) in places.into_iter().zip(resolve_literal(db, &others).await?) {
            logs[place] = log;
        }
    }
    Ok(logs)
}

async fn resolve_literal(db: &mut PgConnection, codes: &[Code]) -> Result<Vec<Option<LogId>>> {
    let mut ids = Vec::with_capacity(codes.len());
    let mut numbers = Vec::with_capacity(codes.len());
    let mut identifications = Vec::with_capacity(codes.len());
    for key in codes.iter().map(Key::of) {
        ids.push(key.id);
        numbers.push(key.number);
        identifications.push(key.identification);
    }
    let logs = sqlx::query_scalar!(
        r#"SELECT COALESCE(l.id, ls.log_id) AS "log: LogId"
           FROM UNNEST($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (id, number, identification, place)
           LEFT JOIN log l ON l.id = asked.id
           LEFT JOIN seal s ON s.identification = asked.identification
           LEFT JOIN log_seal ls ON ls.seal_number = COALESCE(asked.number, s.number)
           ORDER BY asked.place"#,
        &ids as &[Option<Uuid>],
        &numbers as &[Option<String>],
        &identifications as &[Option<String>],
    )
    .fetch_all(db)
    .await?;
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_code_is_looked_up_by_one_key() {
        let key = |text: &str| Key::of(&Code::parse(text).unwrap());
        let id = "0197a2c4-5d6e-7f80-9123-456789abcdef";
        assert_eq!(key(id), Key { id: Uuid::parse_str(id).ok(), ..Key::default() });
        assert_eq!(key("kz-00418826"), Key { number: Some("KZ-00418826".into()), ..Key::default() });
        let identification = Key { identification: Some("010952000000001121A".into()), ..Key::default() };
        assert_eq!(key("010952000000001121A"), identification);
        let code = format!("010952000000001121A\u{1d}91KZ01\u{1d}92{}", "s".repeat(44));
        assert_eq!(key(&code), identification);
    }
}
