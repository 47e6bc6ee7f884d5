//! Signing out: here, elsewhere, everywhere.

use axum::http::StatusCode;

use crate::support::{Site, ms, on_every_store, plain};

const REMOVED: &str = "__Host-session=; Path=/; HttpOnly; Max-Age=0; SameSite=Lax; Secure";

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_has_no_session_and_no_cookie() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        let cookies = visitor.cookies();
        let answer = visitor.visit("/sign-out").await;
        assert_eq!((answer.text.as_str(), answer.set_cookie()), ("true", vec![REMOVED]));
        assert_eq!((visitor.cookies(), site.live().await), (String::new(), 0));
        assert_eq!(visitor.see("/sign-out").await, "false");

        // The old cookie is worth nothing, and what is written with it begins a session of its own.
        assert_eq!(visitor.ask_with("/", Some(&cookies)).await.text, "nobody");
        let answer = visitor.ask_with("/count", Some(&cookies)).await;
        assert_eq!((answer.text.as_str(), answer.set_cookie().len()), ("1", 1));
        assert!(!answer.set_cookie()[0].starts_with(&cookies));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_wins_over_a_request_that_is_under_way() {
    on_every_store(
        |builder| builder.touch_throttle(0),
        async |site: Site| {
            for (path, status) in [("/slow-count", StatusCode::OK), ("/slow-read", StatusCode::CONFLICT)] {
                let mut visitor = site.visitor();
                visitor.see("/sign-in/ann").await;
                site.clock.advance(ms(1));
                let late = visitor.clone();
                let late = tokio::spawn(async move { late.ask(path).await });
                site.gates.arrived().await;
                visitor.see("/sign-out").await;
                site.gates.open();
                let answer = late.await.unwrap();
                assert_eq!((answer.status, answer.set_cookie()), (status, vec![]), "{path}");
                assert_eq!(site.live().await, 0);
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_signed_out() {
    on_every_store(plain, async |site: Site| {
        let (mut laptop, mut phone, mut tablet, mut other) =
            (site.visitor(), site.visitor(), site.visitor(), site.visitor());
        for (visitor, count) in [(&mut laptop, 1), (&mut phone, 2), (&mut tablet, 3)] {
            visitor.see("/sign-in/ann").await;
            for _ in 0..count {
                visitor.see("/count").await;
            }
            site.clock.advance(std::time::Duration::from_secs(60));
        }
        other.see("/sign-in/ben").await;
        let listed = laptop.see("/devices").await;
        let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split(' ').collect()).collect();
        let shown: Vec<(&str, &str)> = rows.iter().map(|row| (row[0], row[2])).collect();
        assert_eq!(shown, [("true", "1"), ("false", "3"), ("false", "2")]);

        // A token of somebody else's session ends nothing.
        let tablet_path = format!("/sign-out-device/{}", rows[1][1]);
        assert_eq!(other.see(&tablet_path).await, "false");
        assert_eq!(tablet.see("/").await, "ann");
        assert_eq!(laptop.see(&tablet_path).await, "true");
        assert_eq!(
            (tablet.see("/").await.as_str(), laptop.see(&tablet_path).await.as_str()),
            ("nobody", "false")
        );

        tablet.see("/sign-in/ann").await;
        assert_eq!(laptop.see("/sign-out-elsewhere").await, "2");
        let seen = [laptop.see("/").await, phone.see("/").await, tablet.see("/").await, other.see("/").await];
        assert_eq!(seen, ["ann", "nobody", "nobody", "ben"]);

        phone.see("/sign-in/ann").await;
        let answer = laptop.visit("/sign-out-everywhere").await;
        assert_eq!((answer.text.as_str(), answer.set_cookie()), ("2", vec![REMOVED]));
        let seen = [laptop.see("/").await, phone.see("/").await, other.see("/").await];
        assert_eq!(seen, ["nobody", "nobody", "ben"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_principal_is_signed_out_here() {
    on_every_store(plain, async |site: Site| {
        let (mut visitor, mut other) = (site.visitor(), site.visitor());
        visitor.see("/count").await;
        other.see("/count").await;
        assert_eq!(
            (visitor.see("/devices").await.as_str(), visitor.see("/sign-out-elsewhere").await.as_str()),
            ("", "0")
        );
        assert_eq!((visitor.see("/sign-out-everywhere").await.as_str(), site.live().await), ("1", 1));
        assert_eq!(other.see("/count").await, "2");
    })
    .await;
}
