//! Who gets into the dashboard, and who does not: what its page in a browser shows is tested with the program.

mod support;

use std::time::Duration;

use p2pnet_bootstrap::{Mode, TOKEN_FILE, read_token};
use p2pnet_engine::Identity;
use serde_json::{Value, json};
use support::{Running, split};

const OWN: &str = "X-P2pnet-Dashboard: 1\r\nOrigin: http://dashboard:1\r\n";

async fn start(data: &std::path::Path, session: Duration) -> (Running, String) {
    let server = Running::with(data, |config| {
        config.mode = Mode::Authority(Box::new(Identity::from_seed([42; 32])));
        config.dashboard = Some("127.0.0.1:0".parse().unwrap());
        config.session = session;
    })
    .await;
    let token = read_token(&data.join(TOKEN_FILE)).unwrap().unwrap();
    (server, json!({"token": token}).to_string())
}

fn code(answer: &str) -> String {
    let body: Value = serde_json::from_str(&split(answer).1).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or("none").to_owned()
}

/// The cookie that an answer sets, and what it says of it.
fn cookie(answer: &str) -> (String, String) {
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let (cookie, rest) = line.split_once(';').unwrap();
    (format!("Cookie: other=1; {cookie}\r\n"), rest.to_owned())
}

#[tokio::test]
async fn only_who_logged_in_gets_in_and_no_other_page_can_act_for_them() {
    let data = tempfile::tempdir().unwrap();
    let (server, login) = start(data.path(), Duration::from_secs(3600)).await;
    for path in ["/session", "/v1/peers", "/v1/log", "/v1/tasks", "/v1/certificates"] {
        assert_eq!(code(&server.dashboard("GET", path, "", "").await), "no-session", "{path}");
    }
    // A form of another page has no header of its own, and its browser says where it is from.
    for foreign in
        ["", "Origin: http://dashboard:1\r\n", "X-P2pnet-Dashboard: 1\r\nOrigin: http://dashboard:2\r\n"]
    {
        let refused = server.dashboard("POST", "/session", foreign, &login).await;
        assert_eq!(code(&refused), "foreign", "{foreign}");
        assert!(refused.contains("header Host"), "{refused}");
    }
    assert_eq!(code(&server.dashboard("POST", "/session", OWN, r#"{"token": "x"}"#).await), "wrong-token");
    let answer = server.dashboard("POST", "/session", OWN, &login).await;
    let (cookie, flags) = cookie(&answer);
    assert_eq!(split(&answer).0, 204);
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=3600"] {
        assert!(flags.contains(flag), "{flags}");
    }
    assert_eq!(split(&server.dashboard("GET", "/v1/peers", &cookie, "").await).0, 200);
    // A session lets in at the dashboard only, and acts for its own page only.
    assert_eq!(support::code(&server.get_as("/v1/peers", &cookie).await), "no-token");
    for (path, body) in [("/v1/tasks", "{}"), ("/v1/certificates", "{}")] {
        assert_eq!(code(&server.dashboard("POST", path, &cookie, body).await), "foreign", "{path}");
        let own = format!("{cookie}{OWN}");
        assert_ne!(code(&server.dashboard("POST", path, &own, body).await), "foreign", "{path}");
    }
    assert_eq!(code(&server.dashboard("DELETE", "/session", &cookie, "").await), "foreign");
    assert_eq!(split(&server.dashboard("DELETE", "/session", &format!("{cookie}{OWN}"), "").await).0, 204);
    assert_eq!(code(&server.dashboard("GET", "/v1/peers", &cookie, "").await), "no-session");
    server.stop().await;
}

#[tokio::test]
async fn a_login_ends_after_its_time_whatever_was_asked_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let (server, login) = start(data.path(), Duration::from_millis(400)).await;
    let (cookie, _) = cookie(&server.dashboard("POST", "/session", OWN, &login).await);
    let began = tokio::time::Instant::now();
    while split(&server.dashboard("GET", "/v1/peers", &cookie, "").await).0 == 200 {
        assert!(began.elapsed() < Duration::from_secs(5), "it never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(code(&server.dashboard("GET", "/v1/peers", &cookie, "").await), "no-session");
    server.stop().await;
}

#[tokio::test]
async fn who_guesses_tokens_is_slowed_down_and_no_guess_is_written_anywhere() {
    let data = tempfile::tempdir().unwrap();
    let (server, login) = start(data.path(), Duration::from_secs(3600)).await;
    let mut codes = Vec::new();
    for _ in 0..8 {
        let guess = r#"{"token": "p2pnet-operator-guessed"}"#;
        codes.push(code(&server.dashboard("POST", "/session", OWN, guess).await));
    }
    assert_eq!(codes.iter().filter(|code| *code == "wrong-token").count(), 5, "{codes:?}");
    assert_eq!(codes.last().unwrap(), "too-many");
    // The right one has to wait as well; others, and what nodes ask, do not.
    let late = server.dashboard("POST", "/session", OWN, &login).await;
    assert!(late.contains("retry-after: 1"), "{late}");
    assert_eq!(server.get("/v1/observed").await.0, 200);
    let token: Value = serde_json::from_str(&login).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", token["token"].as_str().unwrap());
    let (_, log) = server.get_as("/v1/log", &bearer).await;
    let log = log.to_string();
    assert!(log.contains("refused: wrong token") && !log.contains("guessed"), "{log}");
    server.stop().await;
}

#[tokio::test]
async fn browsers_are_told_to_run_and_to_keep_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let (server, _) = start(data.path(), Duration::from_secs(3600)).await;
    for path in ["/", "/app.js", "/map.js", "/tasks.js", "/style.css", "/v1/peers", "/nowhere"] {
        let answer = server.dashboard("GET", path, "", "").await;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(header), "{path}: {answer}");
        }
    }
    server.stop().await;
}
