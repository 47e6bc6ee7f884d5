//! SQL with named values.

use std::fmt;
use std::fmt::Write as _;

use session_core::contract::Payload;
use session_core::{Principal, SessionKey, Timestamp, Version};

use crate::dialect::Dialect;

/// A statement whose values have names: `:key`, `:now`. It is written once, when a store is built, and knows the order in
/// which the client library takes its values.
///
/// # Names
/// A name is a colon and small letters, digits and underscores. `::` is a cast, and text between `'` is left alone. A
/// name may come several times.
///
/// A name may stand for a [list](Value::List): `:keys*64` is 64 places, with commas between, for the 64 elements;
/// `:keys.3` is the place of the element with the index 3. MySQL and SQL Server need them, whose statements for many keys
/// are written for each of a few sizes.
#[derive(PartialEq, Eq)]
pub struct Statement {
    sql: String,
    names: Vec<String>,
    /// In the order of the client library's values.
    slots: Vec<Slot>,
    /// It is broken on purpose, and need not use all of its values.
    #[cfg(feature = "__mutants")]
    is_broken: bool,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot {
    /// The index of its name.
    name: usize,
    /// The index in the list that the name stands for.
    element: Option<usize>,
}

/// A value with the name that the statement has for it.
pub type Named<'a> = (&'static str, Value<'a>);

impl Statement {
    /// Writes a statement.
    pub fn new(dialect: Dialect, template: impl AsRef<str>) -> Statement {
        #[cfg(feature = "__mutants")]
        if let Some(broken) = crate::mutator::mutated(dialect, template.as_ref()) {
            return Statement { is_broken: true, ..Statement::written(dialect, &broken) };
        }
        Statement::written(dialect, template.as_ref())
    }

    fn written(dialect: Dialect, mut rest: &str) -> Statement {
        let mut statement = Statement {
            sql: String::new(),
            names: Vec::new(),
            slots: Vec::new(),
            #[cfg(feature = "__mutants")]
            is_broken: false,
        };
        while let Some(at) = rest.find([':', '\'']) {
            statement.sql.push_str(&rest[..at]);
            rest = &rest[at..];
            // What is left alone: a text, a cast, a colon without a name.
            let alone = match rest.as_bytes() {
                [b'\'', ..] => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
                [b':', b':', ..] => 2,
                [b':', b'a'..=b'z', ..] => 0,
                _ => 1,
            };
            statement.sql.push_str(&rest[..alone]);
            rest = &rest[alone..];
            if alone == 0 {
                rest = statement.place(dialect, &rest[1..]);
            }
        }
        statement.sql.push_str(rest);
        statement
    }

    /// Writes the place of the name that the text begins with, and returns what is behind it.
    fn place<'t>(&mut self, dialect: Dialect, text: &'t str) -> &'t str {
        let end = text.find(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | '_')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = match self.names.iter().position(|known| known == name) {
            Some(known) => known,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        };
        let number = |sign: char| {
            let text = rest.strip_prefix(sign)?;
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            Some((text[..end].parse::<usize>().ok()?, &text[end..]))
        };
        if let Some((elements, rest)) = number('*') {
            for element in 0..elements {
                self.sql.push_str(if element > 0 { ", " } else { "" });
                self.slot(dialect, Slot { name, element: Some(element) });
            }
            return rest;
        }
        if let Some((element, rest)) = number('.') {
            self.slot(dialect, Slot { name, element: Some(element) });
            return rest;
        }
        self.slot(dialect, Slot { name, element: None });
        rest
    }

    fn slot(&mut self, dialect: Dialect, slot: Slot) {
        let sign = match dialect {
            Dialect::Mysql => {
                self.sql.push('?');
                self.slots.push(slot);
                return;
            }
            Dialect::Postgres => "$",
            Dialect::Sqlite => "?",
            Dialect::Mssql => "@P",
        };
        let known = self.slots.iter().position(|known| *known == slot);
        let index = known.unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        });
        // Writing to a String cannot fail.
        _ = write!(self.sql, "{sign}{}", index + 1);
    }

    /// The text for the server.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The statement with its values, in any order. Each of its names needs one.
    ///
    /// ```
    /// use session_core::Timestamp;
    /// use session_sql::{Dialect, Statement, Value};
    ///
    /// let purge = Statement::new(Dialect::Postgres, "DELETE FROM t WHERE expires_at <= :now");
    /// let values = [("now", Value::from(Timestamp::from_millis(0)))];
    /// let bound = purge.bind(&values);
    /// assert_eq!(bound.sql(), "DELETE FROM t WHERE expires_at <= $1");
    /// assert_eq!(bound.values().len(), 1);
    /// ```
    ///
    /// # Panics
    /// In a debug build, if a value is missing or superfluous, so that each test that runs a statement checks it. In
    /// a release build a missing one panics when it is sent.
    pub fn bind<'a>(&'a self, values: &'a [Named<'a>]) -> Bound<'a> {
        let bound = Bound { statement: self, values };
        debug_assert_eq!(bound.mistake(), None, "{}", self.sql);
        bound
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Statement").field(&self.sql).finish()
    }
}

/// A statement with all of its values: what can be run. Its `Debug` shows no value.
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    statement: &'a Statement,
    values: &'a [Named<'a>],
}

impl<'a> Bound<'a> {
    /// The text for the server.
    pub fn sql(&self) -> &'a str {
        &self.statement.sql
    }

    /// The statement.
    pub fn statement(&self) -> &'a Statement {
        self.statement
    }

    /// The values with their names, as they were bound.
    pub fn named(&self) -> &'a [Named<'a>] {
        self.values
    }

    /// The values, one for each place, in the order of the places. Lists are taken apart.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Value<'a>> + Clone + use<'a> {
        self.value_refs().copied()
    }

    /// As [`values`](Bound::values), for a client library that takes references.
    pub fn value_refs(&self) -> impl ExactSizeIterator<Item = &'a Value<'a>> + Clone + use<'a> {
        let Bound { statement, values } = *self;
        // The elements of a list stand side by side: it is looked for once.
        let mut last = None;
        statement.slots.iter().map(move |slot| {
            let value = match last {
                Some((name, value)) if name == slot.name => value,
                _ => find(values, &statement.names[slot.name]),
            };
            last = Some((slot.name, value));
            match (value, slot.element) {
                (Value::List(elements), Some(element)) => &elements[element],
                _ => value,
            }
        })
    }

    /// What is wrong with the values, if anything is.
    fn mistake(&self) -> Option<String> {
        let Bound { statement, values } = *self;
        #[cfg(feature = "__mutants")]
        if statement.is_broken {
            return None;
        }
        for name in &statement.names {
            match values.iter().filter(|(bound, _)| bound == name).count() {
                1 => {}
                count => return Some(format!("there are {count} values for :{name}")),
            }
        }
        if let Some((name, _)) = values.iter().find(|(name, _)| !statement.names.iter().any(|n| n == name)) {
            return Some(format!("the statement has no :{name}"));
        }
        for (index, name) in statement.names.iter().enumerate() {
            let elements = statement.slots.iter().filter(|slot| slot.name == index).map(|slot| slot.element);
            let length = elements.map(|element| element.map_or(0, |element| element + 1)).max().unwrap_or(0);
            let bound = match find(values, name) {
                Value::List(elements) => elements.len(),
                _ => 0,
            };
            if bound != length {
                return Some(format!(":{name} has {length} elements, and there are values for {bound}"));
            }
        }
        None
    }
}

impl fmt::Debug for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.values.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Bound").field("sql", &self.statement.sql).field("values", &names).finish()
    }
}

fn find<'a>(values: &'a [Named<'a>], name: &str) -> &'a Value<'a> {
    match values.iter().find(|(bound, _)| *bound == name) {
        Some((_, value)) => value,
        None => panic!("the statement has no value for :{name}"),
    }
}

/// A value to bind, which borrows from its caller. NULL has a type. Its `Debug` shows nothing of it.
///
/// A driver refuses what no statement of its dialect binds.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Bytes.
    Bytes(Option<&'a [u8]>),
    /// UTF-8 text.
    Text(Option<&'a str>),
    /// A whole number of 64 bits.
    Bigint(Option<i64>),
    /// The elements of a name that stands for a list, which are values of their own.
    List(&'a [Value<'a>]),
    /// One value that is an array of bytes: Postgres.
    BytesArray(&'a [&'a [u8]]),
    /// One value that is an array of texts: Postgres.
    TextArray(&'a [Option<&'a str>]),
    /// One value that is an array of whole numbers: Postgres.
    BigintArray(&'a [Option<i64>]),
    /// SQL Server's `datetime`: days from 1900-01-01, and steps of 1/300 s.
    Datetime {
        /// Days from 1900-01-01.
        days: i32,
        /// Steps of 1/300 s since midnight.
        steps: u32,
    },
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// Text for a plain key, bytes for a hashed one.
impl<'a> From<&'a SessionKey> for Value<'a> {
    fn from(key: &'a SessionKey) -> Value<'a> {
        match key.as_text() {
            Some(text) => Value::Text(Some(text)),
            None => Value::Bytes(Some(key.as_bytes())),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Value<'a> {
        Value::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Value<'a> {
        Value::Bytes(Some(bytes))
    }
}

impl<'a> From<&'a Payload> for Value<'a> {
    fn from(payload: &'a Payload) -> Value<'a> {
        Value::Text(Some(payload.as_str()))
    }
}

impl<'a> From<Option<&'a Payload>> for Value<'a> {
    fn from(payload: Option<&'a Payload>) -> Value<'a> {
        Value::Text(payload.map(Payload::as_str))
    }
}

impl<'a> From<&'a Principal> for Value<'a> {
    fn from(principal: &'a Principal) -> Value<'a> {
        Value::Text(Some(principal.as_str()))
    }
}

impl<'a> From<Option<&'a Principal>> for Value<'a> {
    fn from(principal: Option<&'a Principal>) -> Value<'a> {
        Value::Text(principal.map(Principal::as_str))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Bigint(Some(number))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::Bigint(Some(number.into()))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Value::Bigint(Some(time.as_millis()))
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(time: Option<Timestamp>) -> Self {
        Value::Bigint(time.map(Timestamp::as_millis))
    }
}

impl From<Version> for Value<'_> {
    fn from(version: Version) -> Self {
        Value::Bigint(Some(version.get()))
    }
}

impl From<Option<Version>> for Value<'_> {
    fn from(version: Option<Version>) -> Self {
        Value::Bigint(version.map(Version::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOUCH: &str = "UPDATE t SET expires_at = :expires_at WHERE key = :key AND (:expected IS NULL \
        OR version = :expected) AND note <> ':none'";

    fn numbers(bound: Bound<'_>) -> Vec<Option<i64>> {
        let number = |value| match value {
            Value::Bigint(number) => number,
            other => panic!("{other:?}"),
        };
        bound.values().map(number).collect()
    }

    #[test]
    fn each_dialect_has_its_own_places() {
        let sql = |dialect| Statement::new(dialect, "a = :a AND b = :b::bigint[] AND c = :a").sql;
        assert_eq!(sql(Dialect::Postgres), "a = $1 AND b = $2::bigint[] AND c = $1");
        assert_eq!(sql(Dialect::Mysql), "a = ? AND b = ?::bigint[] AND c = ?");
        assert_eq!(sql(Dialect::Sqlite), "a = ?1 AND b = ?2::bigint[] AND c = ?1");
        assert_eq!(sql(Dialect::Mssql), "a = @P1 AND b = @P2::bigint[] AND c = @P1");
    }

    #[test]
    fn values_come_in_the_order_of_their_places_whatever_the_order_of_their_names() {
        let values = [
            ("key", Value::from(1_i64)),
            ("expected", Option::<Version>::None.into()),
            ("expires_at", 3_i64.into()),
        ];
        let statement = Statement::new(Dialect::Postgres, TOUCH);
        assert!(
            statement.sql().ends_with("($3 IS NULL OR version = $3) AND note <> ':none'"),
            "{statement:?}"
        );
        assert_eq!(numbers(statement.bind(&values)), [Some(3), Some(1), None]);
        let statement = Statement::new(Dialect::Mysql, TOUCH);
        assert_eq!(numbers(statement.bind(&values)), [Some(3), Some(1), None, None]);
    }

    #[test]
    fn a_list_has_a_place_for_each_element_in_each_dialect() {
        let template =
            "k IN (:keys*3) AND e = ELT(FIELD(k, :keys*3), :expiries*3) OR x IN (:expiries.1, :now)";
        let (keys, expiries) = ([1_i64, 2, 3].map(Value::from), [7_i64, 8, 9].map(Value::from));
        let values =
            [("now", 5_i64.into()), ("expiries", Value::List(&expiries)), ("keys", Value::List(&keys))];
        let mysql = Statement::new(Dialect::Mysql, template);
        assert_eq!(mysql.sql(), "k IN (?, ?, ?) AND e = ELT(FIELD(k, ?, ?, ?), ?, ?, ?) OR x IN (?, ?)");
        let all = [1, 2, 3, 1, 2, 3, 7, 8, 9, 8, 5].map(Some);
        assert_eq!(numbers(mysql.bind(&values)), all);
        let mssql = Statement::new(Dialect::Mssql, template);
        assert!(mssql.sql().ends_with("@P6) OR x IN (@P5, @P7)"), "{mssql:?}");
        assert_eq!(numbers(mssql.bind(&values)), [1, 2, 3, 7, 8, 9, 5].map(Some));
    }

    #[test]
    fn a_mistake_in_the_values_is_found_and_named() {
        let statement = Statement::new(Dialect::Sqlite, "a = :a AND b IN (:b*2)");
        let list = [Value::from(1_i64), Value::from(2_i64)];
        let (a, b) = (("a", Value::from(1_i64)), ("b", Value::List(&list)));
        let mistake = |values: &[Named<'_>]| Bound { statement: &statement, values }.mistake();
        assert_eq!(mistake(&[b, a]), None);
        assert_eq!(mistake(&[b]).unwrap(), "there are 0 values for :a");
        assert_eq!(mistake(&[a, b, a]).unwrap(), "there are 2 values for :a");
        assert_eq!(mistake(&[a, b, ("c", 3_i64.into())]).unwrap(), "the statement has no :c");
        let short = ("b", Value::List(&list[..1]));
        assert_eq!(mistake(&[a, short]).unwrap(), ":b has 2 elements, and there are values for 1");
        assert_eq!(
            mistake(&[a, ("b", 1_i64.into())]).unwrap(),
            ":b has 2 elements, and there are values for 0"
        );
    }

    #[test]
    fn no_value_is_printed() {
        let statement = Statement::new(Dialect::Postgres, "payload = :payload");
        let values = [("payload", Value::from("hunter2"))];
        let shown = format!("{:?} {:?}", statement.bind(&values), values[0].1);
        assert!(shown.contains("payload = $1") && !shown.contains("hunter2"), "{shown}");
    }
}
