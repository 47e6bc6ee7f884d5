//! What is in a session.

use std::collections::HashMap;

use serde_json::{Value, json};

/// A session's data, as applications on tower-sessions have it.
pub type Data = HashMap<String, Value>;

/// Data of about `bytes` bytes of JSON: a signed-in user with a shopping basket, padded.
pub fn sample(bytes: usize, seed: u64) -> Data {
    let mut data = Data::from([
        ("user".to_owned(), json!({"id": seed, "name": "Ada Lovelace", "roles": ["member", "editor"]})),
        ("csrf".to_owned(), json!("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")),
        ("language".to_owned(), json!("en-GB")),
        ("seen".to_owned(), json!([1, 1, 2, 3, 5, 8, 13, 21, 34])),
        ("basket".to_owned(), basket()),
    ]);
    let length = serde_json::to_string(&data).map_or(0, |text| text.len()) + r#","note":"""#.len();
    data.insert("note".to_owned(), json!("n".repeat(bytes.saturating_sub(length))));
    data
}

fn basket() -> Value {
    (0..6).map(|item| json!({"sku": format!("A-{item:04}"), "count": item + 1, "price": 19.9})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_length_asked_for() {
        assert_eq!(serde_json::to_string(&sample(1024, 7)).unwrap().len(), 1024);
    }
}
