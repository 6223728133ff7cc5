//! The HTTP API, over a real socket.

use greenshift::api::model::{Page, Problem, RequestBody, RolloutView};
use greenshift::client::{Applied, Document};
use greenshift::clock::{Clock as _, SystemClock};
use greenshift::domain::phase::Phase;
use reqwest::{Method, RequestBuilder, StatusCode};

use super::harness::{Server, document, document_on};

fn call(server: &Server, method: Method, path: &str) -> RequestBuilder {
    let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(20)).build().unwrap();
    http.request(method, format!("{}{path}", server.url))
}

fn post(server: &Server, path: &str, text: &str) -> RequestBuilder {
    call(server, Method::POST, path).header("content-type", "application/yaml").body(text.to_owned())
}

async fn problem(call: RequestBuilder, status: StatusCode) -> Problem {
    let response = call.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(response.status(), status);
    let problem: Problem = response.json().await.unwrap();
    assert_eq!((problem.status, problem.request_id.as_str()), (status.as_u16(), id.as_str()));
    assert!(problem.detail.len() > 10, "{problem:?}");
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_document_twice_is_one_rollout() {
    let server = Server::start().await;
    let text = document("payments");
    let first = post(&server, "/api/v1/rollouts", &text).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::CREATED);
    assert_eq!(first.headers()["location"], "/api/v1/rollouts/payments");
    assert!(first.headers()["etag"].to_str().unwrap().starts_with("\"1."));
    let again = post(&server, "/api/v1/rollouts", &text).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    let other = text.replace("10%", "20%");
    let refused = problem(post(&server, "/api/v1/rollouts", &other), StatusCode::CONFLICT).await;
    assert_eq!(refused.code, "rollout_exists");
    let same_rule = post(&server, "/api/v1/rollouts", &document("other"));
    assert_eq!(problem(same_rule, StatusCode::CONFLICT).await.code, "rule_taken");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_shows_what_the_contract_promises() {
    let server = Server::start().await;
    post(&server, "/api/v1/rollouts", &document("payments")).send().await.unwrap();
    server.until_first_step("payments").await;
    let shown: serde_json::Value =
        call(&server, Method::GET, "/api/v1/rollouts/payments").send().await.unwrap().json().await.unwrap();
    for key in [
        "name",
        "phase",
        "step",
        "steps",
        "weight",
        "hold",
        "checks",
        "route",
        "plan",
        "attempt",
        "created_at",
        "updated_at",
        "revision",
    ] {
        assert!(shown.get(key).is_some(), "{key} is missing: {shown:#}");
    }
    for key in ["desired", "observed", "traffic_share"] {
        assert!(shown["weight"].get(key).is_some(), "{key} is missing");
    }
    for key in ["reason", "detail", "until"] {
        assert!(shown["hold"].get(key).is_some(), "{key} is missing");
    }
    assert_eq!((&shown["step"], &shown["steps"]), (&serde_json::json!(1), &serde_json::json!(3)));
    assert_eq!(shown["plan"]["steps"][0]["weight"], "10%");
    assert_eq!(shown["route"]["alb"]["rules"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_a_document_are_told_one_by_one() {
    let server = Server::start().await;
    let text = document("payments").replace("weight: 50%", "weight: 5%").replace("hold: 1m", "hold: soon");
    let refused = problem(post(&server, "/api/v1/rollouts", &text), StatusCode::UNPROCESSABLE_ENTITY).await;
    let pointers: Vec<&str> = refused.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert!(pointers.contains(&"/steps/0/hold") && pointers.contains(&"/steps/1/hold"), "{pointers:?}");
    assert!(refused.errors.iter().all(|error| error.line.is_some()), "{refused:?}");
    let form = call(&server, Method::POST, "/api/v1/rollouts").body("name: x");
    assert_eq!(problem(form, StatusCode::UNSUPPORTED_MEDIA_TYPE).await.code, "unsupported_media_type");
    let large = post(&server, "/api/v1/rollouts", &"#".repeat(1024 * 1024 + 1));
    assert_eq!(problem(large, StatusCode::PAYLOAD_TOO_LARGE).await.code, "body_too_large");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_the_revision_that_it_follows() {
    let server = Server::start().await;
    let client = server.client();
    client.create(&Document { text: &document("payments") }).await.unwrap();
    server.until_first_step("payments").await;
    let changed = document("payments").replace("weight: 50%", "weight: 40%");
    let patch = |text: &str| {
        call(&server, Method::PATCH, "/api/v1/rollouts/payments")
            .header("content-type", "application/yaml")
            .body(text.to_owned())
    };
    problem(patch(&changed), StatusCode::PRECONDITION_REQUIRED).await;
    problem(patch(&changed).header("if-match", "\"1.000000000000\""), StatusCode::PRECONDITION_FAILED).await;
    let (_, tag) = client.get_tagged("payments").await.unwrap();
    let after = client.change("payments", &Document { text: &changed }, &tag, "too fast").await.unwrap();
    assert_eq!(after.plan["steps"][1]["weight"], "40%");
    let (_, tag) = client.get_tagged("payments").await.unwrap();
    let reached = document("payments").replace("weight: 10%", "weight: 11%");
    let refused = problem(patch(&reached).header("if-match", &tag), StatusCode::CONFLICT).await;
    assert_eq!(refused.code, "step_reached");
    let moved = document_on("payments", 2);
    let refused = problem(patch(&moved).header("if-match", &tag), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(refused.errors[0].pointer, "/route");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_ask_is_taken_with_their_name_or_refused_with_the_phase() {
    let server = Server::start().await;
    let client = server.client();
    client.create(&Document { text: &document("payments") }).await.unwrap();
    server.until_first_step("payments").await;
    let ask = |verb: &str, body: &str| {
        call(&server, Method::POST, &format!("/api/v1/rollouts/payments/{verb}"))
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    let refused = problem(ask("approve", r#"{"expected_step": 1}"#), StatusCode::CONFLICT).await;
    assert!(refused.code == "wrong_phase" && refused.detail.contains("progressing"), "{refused:?}");
    let refused = problem(ask("promote", r#"{"reason": "x", "expected_step": 2}"#), StatusCode::CONFLICT).await;
    assert_eq!(refused.code, "wrong_step");
    let refused = problem(ask("abort", "{}"), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(refused.errors[0].pointer, "/reason");
    problem(ask("pause", r#"{"reasons": "x"}"#), StatusCode::BAD_REQUEST).await;
    problem(ask("destroy", "{}"), StatusCode::NOT_FOUND).await;
    let body = RequestBody { reason: "lunch".to_owned(), ..RequestBody::default() };
    let paused = client.ask("payments", "pause", &body).await.unwrap();
    assert_eq!(paused.phase, Phase::Paused);
    let events = client.events("payments", 0, 100).await.unwrap().items;
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=u64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
    let asked = events.iter().find(|event| event.kind == "requested").unwrap();
    assert_eq!((asked.actor.as_str(), asked.text.as_str()), ("alice (unverified)", "asked to pause: lunch"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_pages_and_filters() {
    let server = Server::start().await;
    let client = server.client();
    for (rule, name) in [(1, "a"), (2, "b"), (3, "c")] {
        client.create(&Document { text: &document_on(name, rule) }).await.unwrap();
    }
    let page = |query: &str| {
        let call = call(&server, Method::GET, &format!("/api/v1/rollouts?{query}"));
        async move { call.send().await.unwrap().json::<Page<RolloutView>>().await.unwrap() }
    };
    let first = page("limit=2").await;
    assert_eq!(first.items.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let second = page(&format!("limit=2&cursor={}", first.next_cursor.unwrap())).await;
    assert_eq!((second.items[0].name.as_str(), second.next_cursor), ("c", None));
    assert_eq!(page("label=team%3Dpayments").await.items.len(), 3);
    assert_eq!(page("label=team%3Dother").await.items.len(), 0);
    server.until("a", Phase::Progressing).await;
    let body = RequestBody { reason: "x".to_owned(), ..RequestBody::default() };
    client.ask("a", "pause", &body).await.unwrap();
    let found = page("phase=paused&phase=completed").await;
    assert_eq!(found.items.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["a"]);
    for bad in ["phase=lost", "limit=0", "cursor=x", "color=red"] {
        problem(call(&server, Method::GET, &format!("/api/v1/rollouts?{bad}")), StatusCode::BAD_REQUEST).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_rollout_can_be_deleted_and_leaves_no_series() {
    let server = Server::start().await;
    let client = server.client();
    client.create(&Document { text: &document("payments") }).await.unwrap();
    server.until_first_step("payments").await;
    let delete = || call(&server, Method::DELETE, "/api/v1/rollouts/payments");
    assert_eq!(problem(delete(), StatusCode::CONFLICT).await.code, "still_active");
    let body = RequestBody { reason: "no".to_owned(), ..RequestBody::default() };
    client.ask("payments", "abort", &body).await.unwrap();
    server.until("payments", Phase::Aborted).await;
    let metrics = || async { call(&server, Method::GET, "/metrics").send().await.unwrap().text().await.unwrap() };
    let before = metrics().await;
    assert!(before.contains(r#"greenshift_rollout_info{phase="aborted",rollout="payments"} 1"#), "{before}");
    assert!(before.contains(r#"greenshift_rollouts_finished_total{outcome="aborted"} 1"#), "{before}");
    assert_eq!(delete().send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let after = metrics().await;
    assert!(!after.contains(r#"rollout="payments""#), "{after}");
    problem(delete(), StatusCode::NOT_FOUND).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_served() {
    let server = Server::start().await;
    let foreign = call(&server, Method::GET, "/api/v1/rollouts").header("host", "evil.example");
    assert_eq!(problem(foreign, StatusCode::MISDIRECTED_REQUEST).await.code, "wrong_host");
    let from_a_page = post(&server, "/api/v1/rollouts", &document("x")).header("origin", "http://evil.example");
    assert_eq!(problem(from_a_page, StatusCode::FORBIDDEN).await.code, "cross_site");
    let preflight = call(&server, Method::OPTIONS, "/api/v1/rollouts").header("origin", "http://evil.example");
    let answer = preflight.send().await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_state_is_not_sent_again_and_ids_are_echoed() {
    let server = Server::start().await;
    let client = server.client();
    client.create(&Document { text: &document("payments") }).await.unwrap();
    server.until_first_step("payments").await;
    let body = RequestBody { reason: "no".to_owned(), ..RequestBody::default() };
    client.ask("payments", "abort", &body).await.unwrap();
    server.until("payments", Phase::Aborted).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let (_, tag) = client.get_tagged("payments").await.unwrap();
    let get = || call(&server, Method::GET, "/api/v1/rollouts/payments");
    let known = get().header("if-none-match", &tag).header("x-request-id", "my-id").send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(known.headers()["x-request-id"], "my-id");
    let other = get().header("if-none-match", "\"0.0\"").header("x-request-id", "not plain").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    assert_ne!(other.headers()["x-request-id"], "not plain");
    problem(call(&server, Method::PUT, "/api/v1/rollouts"), StatusCode::METHOD_NOT_ALLOWED).await;
    problem(call(&server, Method::GET, "/api/v2"), StatusCode::NOT_FOUND).await;
    assert_eq!(call(&server, Method::GET, "/livez").send().await.unwrap().status(), StatusCode::OK);
    let ready = call(&server, Method::GET, "/readyz?verbose").send().await.unwrap();
    assert_eq!(ready.text().await.unwrap(), "[+] journal: ok\n[+] running: ok\nready\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_moves_nothing_and_tells_what_it_would_do() {
    let server = Server::start().await;
    let text = document("payments");
    let plan = server.client().plan(&Document { text: &text }).await.unwrap();
    assert_eq!(plan.steps.len(), 3);
    assert_eq!(plan.steps.iter().map(|step| step.writes.len()).sum::<usize>(), 3);
    assert!(plan.preflight.unwrap().passed);
    assert!(server.router.writes().is_empty());
    assert!(server.client().list(&[], &[]).await.unwrap().is_empty());
    let created = server.client().create(&Document { text: &text }).await.unwrap();
    assert!(matches!(created, Applied::Created(_)));
    let undo = server.client().undo("payments").await.unwrap();
    assert_eq!(undo.commands.len(), 1);
    assert!(server.client().analysis("payments", None).await.unwrap().items.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_holds_every_rollout_and_says_why() {
    let server = Server::start().await;
    let client = server.client();
    let thawed = serde_json::json!({"frozen": false});
    assert_eq!(serde_json::to_value(client.freeze_state().await.unwrap()).unwrap(), thawed);
    let clock = SystemClock;
    let before = clock.now();
    let frozen = client.freeze(Some("holidays")).await.unwrap();
    assert!(frozen.frozen);
    assert_eq!(frozen.reason.as_deref(), Some("holidays"));
    assert_eq!(frozen.actor.as_deref(), Some("alice (unverified)"));
    assert!(frozen.at.is_some_and(|at| (before..=clock.now()).contains(&at)), "{frozen:?}");
    assert_eq!(client.freeze_state().await.unwrap(), frozen);
    assert_eq!(serde_json::to_value(client.freeze(None).await.unwrap()).unwrap(), thawed);
    assert_eq!(serde_json::to_value(client.freeze_state().await.unwrap()).unwrap(), thawed);
    server.stop().await;
}
