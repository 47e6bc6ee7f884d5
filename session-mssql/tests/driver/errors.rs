//! Errors of the server, and answers that are not what a statement asks for.

use libtest_mimic::Trial;
use mssql_mock_tds::{ColumnDefinition, ColumnValue, QueryResponse, SqlDataType};
use session_core::ErrorKind;
use session_mssql::MssqlStore;

use crate::support::{Doorkeeper, Mock, builder, count, counted, number, trials};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        an_error_of_the_server_has_its_number,
        a_text_that_quotes_a_value_is_not_passed_on,
        a_database_that_could_be_opened_before_is_only_away,
        an_answer_of_another_shape_is_an_error_and_no_panic,
    ]
}

async fn an_error_of_the_server_has_its_number() {
    let mock = Mock::start().await;
    let refused = mssql_mock_tds::TerminalError::new(1205, 13, "chosen as the deadlock victim");
    mock.answer("COUNT_BIG(", QueryResponse::error_only(refused)).await;
    let error = count(&builder(&mock).build().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, Some("1205")));
    assert!(!error.is_in_doubt());
}

async fn a_text_that_quotes_a_value_is_not_passed_on() {
    let mock = Mock::start().await;
    let store = builder(&mock).build().unwrap();
    let ask = async |number: u32| {
        let text = "The conversion of the nvarchar value 'secret' overflowed an int column.";
        let refused = mssql_mock_tds::TerminalError::new(number, 16, text);
        mock.answer("COUNT_BIG(", QueryResponse::error_only(refused)).await;
        let error = count(&store).await.unwrap_err();
        let mut shown = format!("{error} {error:?}");
        let mut next = std::error::Error::source(&error);
        while let Some(source) = next {
            shown.push_str(&source.to_string());
            next = source.source();
        }
        assert_eq!(error.code(), Some(number.to_string().as_str()));
        shown
    };
    for number in [220, 244, 245, 248, 1505, 2601, 2627, 2628, 8114, 50_000, 51_234, 33_557_097] {
        let shown = ask(number).await;
        assert!(!shown.contains("secret"), "{number}: {shown}");
    }
    // Others have the server's words, by which a person finds out what is wrong.
    assert!(ask(208).await.contains("secret"));
}

/// A server that starts takes logins before it has recovered its databases, and says of them what it says of a wrong name.
async fn a_database_that_could_be_opened_before_is_only_away() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(3)).await;
    let door = Doorkeeper::before(&mock).await;
    door.refuse(4060);
    let store = || MssqlStore::builder().url(&door.url).pool_size(1).build().unwrap();
    let (early, open) = (store(), store());
    let wrong = count(&early).await.unwrap_err();
    assert_eq!((wrong.kind(), wrong.code()), (ErrorKind::Backend, Some("4060")), "{wrong:?}");
    assert!(!wrong.is_transient() && !wrong.is_in_doubt());

    door.refuse(0);
    assert_eq!(count(&open).await.unwrap(), 3);
    door.refuse(4060);
    // The first call may find its connection closed.
    drop(count(&open).await);
    let away = count(&open).await.unwrap_err();
    assert_eq!((away.kind(), away.code()), (ErrorKind::Unavailable, Some("4060")), "{away:?}");
    assert!(away.is_unreachable() && !away.is_in_doubt(), "{away:?}");
    // Other errors are as before.
    door.refuse(18456);
    assert_eq!(count(&open).await.unwrap_err().kind(), ErrorKind::Backend);
    door.refuse(0);
    assert_eq!(count(&open).await.unwrap(), 3);
    assert_eq!(count(&early).await.unwrap(), 3);
}

async fn an_answer_of_another_shape_is_an_error_and_no_panic() {
    let mock = Mock::start().await;
    let store = counted(&mock, -1).await;
    assert!(count(&store).await.is_err());
    mock.answer("COUNT_BIG(", QueryResponse::new(Vec::new(), Vec::new())).await;
    assert!(count(&store).await.is_err());
    let text = mssql_mock_tds::Row::new(vec![ColumnValue::NVarChar("secret".to_owned())]);
    let column = ColumnDefinition::new("rows", SqlDataType::NVarChar);
    mock.answer("COUNT_BIG(", QueryResponse::new(vec![column], vec![text])).await;
    let error = count(&store).await.unwrap_err();
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
