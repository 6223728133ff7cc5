use aws_sdk_elasticloadbalancingv2::types::{
    AuthenticateCognitoActionConfig, AuthenticateOidcActionConditionalBehaviorEnum, AuthenticateOidcActionConfig,
    FixedResponseActionConfig, JwtValidationActionConfig, RedirectActionConfig, RedirectActionStatusCodeEnum,
};
use proptest::prelude::*;

use super::*;

const BLUE: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/1";
const GREEN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/2";
const OTHER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/other/3";

fn route() -> AlbRoute {
    AlbRoute { rules: vec![Arn::new("rule")], blue_target_group: Arn::new(BLUE), green_target_group: Arn::new(GREEN) }
}

fn percent(percent: u16) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn forward(weights: &[(&str, u32)]) -> Action {
    let tuples = weights.iter().map(|(arn, weight)| tuple((*arn).to_owned(), *weight)).collect();
    Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .order(2)
        .forward_config(
            ForwardActionConfig::builder()
                .set_target_groups(Some(tuples))
                .target_group_stickiness_config(
                    TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(600).build(),
                )
                .build(),
        )
        .build()
}

fn plain(arn: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(arn).order(1).build()
}

fn oidc() -> Action {
    let config = AuthenticateOidcActionConfig::builder()
        .issuer("https://issuer")
        .authorization_endpoint("https://issuer/a")
        .token_endpoint("https://issuer/t")
        .user_info_endpoint("https://issuer/u")
        .client_id("client")
        .session_cookie_name("cookie")
        .scope("openid email")
        .session_timeout(604_800)
        .authentication_request_extra_params("prompt", "login")
        .authentication_request_extra_params("display", "page")
        .on_unauthenticated_request(AuthenticateOidcActionConditionalBehaviorEnum::Deny)
        .build();
    Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).order(1).authenticate_oidc_config(config).build()
}

fn shown(actions: &[Action]) -> Vec<(String, u32)> {
    actions.iter().flat_map(groups).collect()
}

fn expected(weights: &[(&str, u32)]) -> Vec<(String, u32)> {
    weights.iter().map(|(arn, weight)| ((*arn).to_owned(), *weight)).collect()
}

#[test]
fn weight_zero_is_sent_explicitly() {
    let (changed, _) = with_weight(&[forward(&[(BLUE, 90), (GREEN, 10)])], &route(), Weight::ZERO).unwrap();
    let tuples = changed[0].forward_config().unwrap().target_groups();
    assert_eq!(tuples[1].weight(), Some(0));
    let (changed, _) = with_weight(&changed, &route(), Weight::FULL).unwrap();
    assert_eq!(changed[0].forward_config().unwrap().target_groups()[0].weight(), Some(0));
}

#[test]
fn a_missing_weight_counts_as_one() {
    let mut action = forward(&[(BLUE, 1)]);
    let config = action.forward_config.as_mut().unwrap();
    config.target_groups = Some(vec![TargetGroupTuple::builder().target_group_arn(BLUE).build()]);
    let seen = seen(&Arn::new("rule"), &[action], &route());
    assert_eq!((seen.blue, seen.green, seen.green_attached), (1, 0, false));
}

#[test]
fn a_plain_forward_to_blue_becomes_a_weighted_one() {
    let actions = [plain(BLUE)];
    let before = seen(&Arn::new("rule"), &actions, &route());
    assert_eq!((before.blue, before.green, before.green_attached, before.share()), (1, 0, false, Some(Weight::ZERO)));
    let (changed, _) = with_weight(&actions, &route(), Weight::ZERO).unwrap();
    assert_eq!(shown(&changed), expected(&[(BLUE, 100), (GREEN, 0)]));
    assert_eq!(changed[0].target_group_arn(), None, "with several groups the short form is refused");
    assert_eq!(seen(&Arn::new("rule"), &changed, &route()).structure, before.structure, "attaching is no foreign edit");
}

#[test]
fn the_form_with_both_names_of_one_group_counts_it_once() {
    let mut action = forward(&[(BLUE, 1)]);
    action.target_group_arn = Some(BLUE.to_owned());
    assert_eq!(groups(&action), expected(&[(BLUE, 1)]));
    let (changed, _) = with_weight(&[action], &route(), percent(10)).unwrap();
    assert_eq!((changed[0].target_group_arn(), shown(&changed)), (None, expected(&[(BLUE, 90), (GREEN, 10)])));
}

#[test]
fn stickiness_and_other_actions_are_sent_back_as_they_were() {
    let actions = [oidc(), forward(&[(BLUE, 100), (GREEN, 0)])];
    let (changed, _) = with_weight(&actions, &route(), percent(25)).unwrap();
    let mut kept = oidc();
    kept.authenticate_oidc_config.as_mut().unwrap().use_existing_client_secret = Some(true);
    assert_eq!(changed[0], kept);
    assert_eq!(changed[1], forward(&[(BLUE, 75), (GREEN, 25)]));
}

#[test]
fn a_client_secret_is_never_sent_nor_shown() {
    let mut told = oidc();
    told.authenticate_oidc_config.as_mut().unwrap().client_secret = Some("hush".to_owned());
    let (changed, _) = with_weight(&[told, forward(&[(BLUE, 100)])], &route(), percent(25)).unwrap();
    let config = changed[0].authenticate_oidc_config().unwrap();
    assert_eq!((config.client_secret(), config.use_existing_client_secret()), (None, Some(true)));
    assert!(!json::actions(&changed).to_string().contains("hush"));
}

#[test]
fn an_action_of_an_unknown_type_is_refused_rather_than_lost() {
    let future = Action::builder().r#type(ActionTypeEnum::from("telepathy")).order(1).build();
    let refused = with_weight(&[future, forward(&[(BLUE, 100)])], &route(), percent(25)).unwrap_err();
    assert_eq!(refused, Unfit::UnknownAction("telepathy".to_owned()));
}

#[test]
fn several_forward_actions_are_refused() {
    let actions = [forward(&[(BLUE, 100)]), forward(&[(OTHER, 1)])];
    assert_eq!(with_weight(&actions, &route(), percent(25)).unwrap_err(), Unfit::SeveralForwards(2));
}

#[test]
fn a_rule_that_names_neither_group_is_read_and_not_written() {
    let redirect = Action::builder()
        .r#type(ActionTypeEnum::Redirect)
        .redirect_config(RedirectActionConfig::builder().status_code(RedirectActionStatusCodeEnum::Http302).build())
        .build();
    for actions in [vec![redirect], vec![plain(OTHER)], vec![]] {
        let seen = seen(&Arn::new("rule"), &actions, &route());
        assert_eq!((seen.blue, seen.green, seen.green_attached, seen.share()), (0, 0, false, None));
        assert_eq!(with_weight(&actions, &route(), Weight::ZERO).unwrap_err(), Unfit::NoForward);
    }
}

#[test]
fn both_at_weight_zero_is_refused_because_aws_would_refuse_it() {
    let actions = [forward(&[(BLUE, 0), (GREEN, 0), (OTHER, 1)])];
    assert_eq!(with_weight(&actions, &route(), percent(25)).unwrap_err(), Unfit::NothingToDivide);
}

#[test]
fn a_full_action_has_no_room_for_green() {
    let action = forward(&[(BLUE, 1), ("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    assert_eq!(with_weight(&[action], &route(), Weight::ZERO).unwrap_err(), Unfit::Full);
}

#[test]
fn stickiness_is_switched_off_and_put_back() {
    let actions = [forward(&[(BLUE, 100), (GREEN, 0)])];
    let off = with_stickiness(&actions, &route(), None).unwrap();
    assert_eq!(seen(&Arn::new("rule"), &off, &route()).sticky_seconds, None);
    let back = with_stickiness(&off, &route(), Some(600)).unwrap();
    assert_eq!(back, actions);
}

#[test]
fn the_digest_keeps_its_definition() {
    let digest = |actions: &[Action]| structure(actions, &route());
    // Digests are kept in journals: when these change, every running rollout sees drift after an upgrade.
    assert_eq!(
        digest(&[oidc(), forward(&[(BLUE, 100), (OTHER, 7)])]),
        "292fc8fac724de1e6d07f142efe985d196c7672c2cd7389173939faa2132fabe"
    );
}

#[test]
fn the_digest_sees_what_others_change() {
    let digest = |actions: &[Action]| structure(actions, &route());
    let base = digest(&[oidc(), forward(&[(BLUE, 100), (GREEN, 0), (OTHER, 7)])]);
    let mut denied = oidc();
    denied.authenticate_oidc_config.as_mut().unwrap().scope = Some("openid".to_owned());
    let mut reordered = forward(&[(BLUE, 100), (GREEN, 0), (OTHER, 7)]);
    reordered.order = Some(3);
    for changed in [
        vec![denied, forward(&[(BLUE, 100), (GREEN, 0), (OTHER, 7)])],
        vec![oidc(), forward(&[(BLUE, 100), (GREEN, 0)])],
        vec![oidc(), forward(&[(BLUE, 100), (GREEN, 0), (OTHER, 0)])],
        vec![oidc(), forward(&[(BLUE, 100), (GREEN, 0), ("another", 7)])],
        vec![oidc(), reordered],
        vec![forward(&[(BLUE, 100), (GREEN, 0), (OTHER, 7)])],
        vec![oidc(), plain(OTHER)],
    ] {
        assert_ne!(digest(&changed), base, "{changed:?}");
    }
}

fn earlier() -> impl Strategy<Value = Action> {
    let text = "[a-z]{1,8}";
    prop_oneof![
        Just(oidc()),
        (text, 1_i64..604_800).prop_map(|(text, seconds)| {
            let config = AuthenticateCognitoActionConfig::builder()
                .user_pool_arn(&text)
                .user_pool_client_id("c")
                .user_pool_domain(text)
                .session_timeout(seconds)
                .authentication_request_extra_params("k", "v")
                .build();
            Action::builder()
                .r#type(ActionTypeEnum::AuthenticateCognito)
                .order(1)
                .authenticate_cognito_config(config)
                .build()
        }),
        text.prop_map(|text| {
            let config = JwtValidationActionConfig::builder().jwks_endpoint(&text).issuer(text).build();
            Action::builder().r#type(ActionTypeEnum::JwtValidation).order(1).jwt_validation_config(config).build()
        }),
        text.prop_map(|text| {
            let config = FixedResponseActionConfig::builder().message_body(text).status_code("200").build();
            Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(config).build()
        }),
        (text, any::<bool>()).prop_map(|(text, moved)| {
            let code =
                if moved { RedirectActionStatusCodeEnum::Http301 } else { RedirectActionStatusCodeEnum::Http302 };
            let config = RedirectActionConfig::builder().host(text).status_code(code).build();
            Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(config).build()
        }),
    ]
}

proptest! {
    #[test]
    fn nothing_but_two_weights_ever_changes(
        before in proptest::collection::vec(earlier(), 0..3),
        (blue, green) in (0_u32..=999, 0_u32..=999).prop_filter("some weight", |(b, g)| b + g > 0),
        tenths in 0_u16..=1000,
        sticky in proptest::option::of(1_i32..604_800),
        order in proptest::option::of(1_i32..50_000),
    ) {
        let mut forward = forward(&[(GREEN, green), (BLUE, blue)]);
        forward.order = order;
        forward.forward_config.as_mut().unwrap().target_group_stickiness_config =
            sticky.map(|s| TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(s).build());
        let actions: Vec<Action> = before.into_iter().chain([forward.clone()]).collect();
        let weight = Weight::from_tenths(tenths).unwrap();
        let (changed, _) = with_weight(&actions, &route(), weight).unwrap();
        // Put the old weights into the result: it must be what was read, but for the secret that AWS is told to keep.
        let mut undone = changed.clone();
        undone.last_mut().unwrap().forward_config = forward.forward_config;
        prop_assert_eq!(undone, sendable(&actions));
        let (b, g) = weight.written();
        prop_assert_eq!(groups(changed.last().unwrap()), expected(&[(GREEN, g), (BLUE, b)]));
        let (old, new) = (seen(&Arn::new("r"), &actions, &route()), seen(&Arn::new("r"), &changed, &route()));
        prop_assert_eq!((old.structure, old.sticky_seconds), (new.structure, new.sticky_seconds));
        prop_assert_eq!(new.green_attached.then_some(weight), Weight::of_written(new.blue, new.green));
    }

    #[test]
    fn other_groups_keep_their_share_and_their_place(
        pair in 1_u32..=999, other in 1_u32..=999, tenths in 0_u16..=1000,
    ) {
        prop_assume!(other <= pair);
        let actions = [forward(&[(OTHER, other), (BLUE, pair)])];
        let (changed, shares) = with_weight(&actions, &route(), Weight::from_tenths(tenths).unwrap()).unwrap();
        let after = groups(&changed[0]);
        let names: Vec<&str> = after.iter().map(|(arn, _)| arn.as_str()).collect();
        prop_assert_eq!(names, [OTHER, BLUE, GREEN]);
        let total: u32 = after.iter().map(|(_, weight)| weight).sum();
        let share = |part: u32, whole: u32| f64::from(part) / f64::from(whole);
        let moved = (share(after[0].1, total) - share(other, other + pair)).abs();
        prop_assert!((moved - shares.error).abs() < 1e-9 && moved < 0.005, "{moved} {shares:?}");
    }
}
