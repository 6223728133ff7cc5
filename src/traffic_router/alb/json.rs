//! Actions in the JSON that the AWS CLI prints and takes: for people, for plans, and for the digest of what must stay.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, AuthenticateCognitoActionConditionalBehaviorEnum, AuthenticateCognitoActionConfig,
    AuthenticateOidcActionConditionalBehaviorEnum, AuthenticateOidcActionConfig, FixedResponseActionConfig,
    ForwardActionConfig, JwtValidationActionAdditionalClaim, JwtValidationActionAdditionalClaimFormatEnum,
    JwtValidationActionConfig, RedirectActionConfig, RedirectActionStatusCodeEnum, TargetGroupStickinessConfig,
    TargetGroupTuple,
};
use serde_json::{Map, Value, json};

/// Actions as `--actions` of the AWS CLI takes them.
pub(super) fn actions(actions: &[Action]) -> Value {
    actions.iter().map(action).collect()
}

/// One action. Members that are absent stay absent.
pub(super) fn action(action: &Action) -> Value {
    Object::new()
        .put("Type", action.r#type().map(ActionTypeEnum::as_str))
        .put("TargetGroupArn", action.target_group_arn())
        .put("AuthenticateOidcConfig", action.authenticate_oidc_config().map(oidc))
        .put("AuthenticateCognitoConfig", action.authenticate_cognito_config().map(cognito))
        .put("JwtValidationConfig", action.jwt_validation_config().map(jwt))
        .put("Order", action.order())
        .put("RedirectConfig", action.redirect_config().map(redirect))
        .put("FixedResponseConfig", action.fixed_response_config().map(fixed_response))
        .put("ForwardConfig", action.forward_config().map(forward))
        .value()
}

/// An object under construction, in the order of the calls.
struct Object(Map<String, Value>);

impl Object {
    fn new() -> Self {
        Self(Map::new())
    }

    fn put(mut self, key: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }

    fn value(self) -> Value {
        Value::Object(self.0)
    }
}

fn forward(config: &ForwardActionConfig) -> Value {
    let group = |tuple: &TargetGroupTuple| {
        Object::new().put("TargetGroupArn", tuple.target_group_arn()).put("Weight", tuple.weight()).value()
    };
    let groups: Vec<Value> = config.target_groups().iter().map(group).collect();
    Object::new()
        .put("TargetGroups", Some(groups))
        .put("TargetGroupStickinessConfig", config.target_group_stickiness_config().map(stickiness))
        .value()
}

fn stickiness(config: &TargetGroupStickinessConfig) -> Value {
    Object::new().put("Enabled", config.enabled()).put("DurationSeconds", config.duration_seconds()).value()
}

/// Never shows a client secret: the load balancer does not tell it, and keeps the one that it has.
fn oidc(config: &AuthenticateOidcActionConfig) -> Value {
    Object::new()
        .put("Issuer", config.issuer())
        .put("AuthorizationEndpoint", config.authorization_endpoint())
        .put("TokenEndpoint", config.token_endpoint())
        .put("UserInfoEndpoint", config.user_info_endpoint())
        .put("ClientId", config.client_id())
        .put("SessionCookieName", config.session_cookie_name())
        .put("Scope", config.scope())
        .put("SessionTimeout", config.session_timeout())
        .put("AuthenticationRequestExtraParams", config.authentication_request_extra_params().map(sorted))
        .put(
            "OnUnauthenticatedRequest",
            config.on_unauthenticated_request().map(AuthenticateOidcActionConditionalBehaviorEnum::as_str),
        )
        .put("UseExistingClientSecret", config.use_existing_client_secret())
        .value()
}

fn cognito(config: &AuthenticateCognitoActionConfig) -> Value {
    Object::new()
        .put("UserPoolArn", config.user_pool_arn())
        .put("UserPoolClientId", config.user_pool_client_id())
        .put("UserPoolDomain", config.user_pool_domain())
        .put("SessionCookieName", config.session_cookie_name())
        .put("Scope", config.scope())
        .put("SessionTimeout", config.session_timeout())
        .put("AuthenticationRequestExtraParams", config.authentication_request_extra_params().map(sorted))
        .put(
            "OnUnauthenticatedRequest",
            config.on_unauthenticated_request().map(AuthenticateCognitoActionConditionalBehaviorEnum::as_str),
        )
        .value()
}

fn jwt(config: &JwtValidationActionConfig) -> Value {
    let claim = |claim: &JwtValidationActionAdditionalClaim| {
        Object::new()
            .put("Format", claim.format().map(JwtValidationActionAdditionalClaimFormatEnum::as_str))
            .put("Name", claim.name())
            .put("Values", Some(claim.values().to_vec()))
            .value()
    };
    let claims: Option<Vec<Value>> = config.additional_claims.as_ref().map(|claims| claims.iter().map(claim).collect());
    Object::new()
        .put("JwksEndpoint", config.jwks_endpoint())
        .put("Issuer", config.issuer())
        .put("AdditionalClaims", claims)
        .value()
}

fn redirect(config: &RedirectActionConfig) -> Value {
    Object::new()
        .put("Protocol", config.protocol())
        .put("Port", config.port())
        .put("Host", config.host())
        .put("Path", config.path())
        .put("Query", config.query())
        .put("StatusCode", config.status_code().map(RedirectActionStatusCodeEnum::as_str))
        .value()
}

fn fixed_response(config: &FixedResponseActionConfig) -> Value {
    Object::new()
        .put("MessageBody", config.message_body())
        .put("StatusCode", config.status_code())
        .put("ContentType", config.content_type())
        .value()
}

fn sorted(params: &std::collections::HashMap<String, String>) -> Value {
    let sorted: std::collections::BTreeMap<&String, &String> = params.iter().collect();
    json!(sorted)
}
