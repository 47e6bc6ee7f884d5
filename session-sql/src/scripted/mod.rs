//! A [`Run`] without a server, for tests of a dialect's outcomes: it answers as it was told to, in order, and notes what it
//! was sent.

pub(crate) mod words;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;

use session_core::{Error, ErrorKind, Result};

use crate::value::Column;
use crate::{Bound, Run, Transact};

/// Answers in the order in which they were written down.
#[derive(Debug, Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Answer>>,
    sent: Mutex<Vec<String>>,
}

/// What a statement comes back with.
#[derive(Debug)]
pub(crate) enum Answer {
    Rows(Vec<Row>),
    Count(u64),
    /// An error with this code, of which nothing is in doubt.
    Code(&'static str),
    /// No answer: the connection is lost, and what became of the statement is in doubt.
    #[cfg(feature = "mysql")]
    Lost,
}

/// A row: its columns.
pub(crate) type Row = Vec<Cell>;

#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Number(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<&[u8]> for Cell {
    fn from(bytes: &[u8]) -> Cell {
        Cell::Bytes(bytes.to_owned())
    }
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Script {
        Script { answers: Mutex::new(answers.into_iter().collect()), sent: Mutex::default() }
    }

    /// What was sent, in order.
    pub(crate) fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }

    /// How many statements were sent.
    pub(crate) fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    fn answer(&self, statement: Bound<'_>) -> Result<Answer> {
        // As a client library does: each value is asked for.
        _ = statement.values().count();
        self.sent.lock().unwrap().push(statement.sql().to_owned());
        match self.answers.lock().unwrap().pop_front() {
            Some(Answer::Code(code)) => {
                Err(Error::new(ErrorKind::Conflict, "as the script says").with_code(code))
            }
            #[cfg(feature = "mysql")]
            Some(Answer::Lost) => Err(Error::unavailable("as the script says").with_in_doubt(true)),
            Some(answer) => Ok(answer),
            None => panic!("the script has no answer to {}", statement.sql()),
        }
    }

    fn rows<T>(&self, statement: Bound<'_>, row: impl Fn(&Row) -> T) -> Result<Vec<T>> {
        match self.answer(statement)? {
            Answer::Rows(rows) => Ok(rows.iter().map(row).collect()),
            answer => panic!("{answer:?} is no answer to {}", statement.sql()),
        }
    }

    fn counted(&self, statement: Bound<'_>) -> Result<u64> {
        match self.answer(statement)? {
            Answer::Count(count) => Ok(count),
            answer => panic!("{answer:?} is no answer to {}", statement.sql()),
        }
    }
}

impl Run for Script {
    type Row = Row;

    fn columns<const N: usize, T>(row: &Row, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
        read(std::array::from_fn(|index| match row.get(index) {
            Some(Cell::Null) => Column::Null,
            Some(Cell::Number(number)) => Column::Signed(*number),
            Some(Cell::Text(text)) => Column::Text(text.as_bytes()),
            Some(Cell::Bytes(bytes)) => Column::Bytes(bytes),
            None => panic!("the script's row has too few columns: {row:?}"),
        }))
    }

    async fn read<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&Row) -> T + Copy + Send + Sync,
    ) -> Result<Vec<T>> {
        self.rows(statement, row)
    }

    async fn write<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&Row) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        self.rows(statement, row)
    }

    async fn execute(&self, statement: Bound<'_>) -> Result<u64> {
        self.counted(statement)
    }

    async fn script(&self, sql: &str) -> Result<()> {
        self.sent.lock().unwrap().push(sql.to_owned());
        Ok(())
    }
}

impl Transact for Script {
    fn lock_then_change<'f, T: Send + 'f, O: Send + 'f>(
        &'f self,
        lock: Bound<'f>,
        row: impl Fn(&Row) -> T + Send + Sync + 'f,
        decide: impl FnOnce(Vec<T>) -> (Option<Bound<'f>>, O) + Send + 'f,
    ) -> Pin<Box<dyn Future<Output = Result<O>> + Send + 'f>> {
        Box::pin(async move {
            let (change, outcome) = decide(self.rows(lock, row)?);
            if let Some(change) = change {
                self.counted(change)?;
            }
            Ok(outcome)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Statement, Value, value};

    fn number(row: &Row) -> Result<i64> {
        Script::columns(row, |[number]| value::bigint("n", number))
    }

    #[tokio::test]
    async fn a_change_is_decided_by_what_was_locked_and_its_values_outlive_the_decision() {
        let lock = Statement::new(Dialect::Mysql, "SELECT n FROM t FOR UPDATE");
        let change = Statement::new(Dialect::Mysql, "UPDATE t SET n = n + 1 WHERE n IN (:numbers*2)");
        let (mut list, mut values) = (Vec::new(), Vec::new());
        let (kept, bound) = (&mut list, &mut values);
        let script = Script::new([Answer::Rows(vec![vec![3.into()], vec![4.into()]]), Answer::Count(2)]);
        let outcome = script
            .lock_then_change(lock.bind(&[]), number, |rows: Vec<Result<i64>>| {
                let numbers: Vec<i64> = rows.into_iter().collect::<Result<_>>().unwrap();
                kept.extend(numbers.iter().copied().map(Value::from));
                let list: &[Value<'_>] = kept;
                bound.push(("numbers", Value::List(list)));
                let values: &[_] = bound;
                (Some(change.bind(values)), numbers.len())
            })
            .await
            .unwrap();
        assert_eq!((outcome, script.count()), (2, 2));
        assert_eq!(script.sent()[1], "UPDATE t SET n = n + 1 WHERE n IN (?, ?)");
    }
}
