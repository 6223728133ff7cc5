//! The three protocols: awsQuery (form and XML), JSON 1.0, and Smithy RPC v2 CBOR.

use super::clock::{Millis, iso};
use super::elb_describe::Params;
use super::wire::{AwsError, parse_form, text, xml_answer, xml_error};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use ciborium::Value as Cbor;
use serde::Serialize;
use serde_json::{Map, Number, Value, json};

/// A service of the stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Service {
    /// Elastic Load Balancing v2.
    Elbv2,
    /// CloudWatch.
    Cloudwatch,
    /// Security Token Service.
    Sts,
}

impl Service {
    fn namespace(self) -> &'static str {
        match self {
            Self::Elbv2 => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
            Self::Cloudwatch => "http://monitoring.amazonaws.com/doc/2010-08-01/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

impl Call {
    /// Its name in IAM policies.
    pub(crate) fn iam_action(&self) -> String {
        let prefix = match self.service {
            Service::Elbv2 => "elasticloadbalancing",
            Service::Cloudwatch => "cloudwatch",
            Service::Sts => "sts",
        };
        format!("{prefix}:{}", self.operation)
    }
}

/// How a request came, and so how its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// A form in, XML out.
    Query,
    /// JSON 1.0, the operation in `X-Amz-Target`.
    Json,
    /// CBOR, the operation in the path.
    Cbor,
}

/// A request, understood.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Whom it is for.
    pub(crate) service: Service,
    /// How it came.
    pub(crate) protocol: Protocol,
    /// The operation, such as `DescribeRules`.
    pub(crate) operation: String,
    /// Its parameters.
    pub(crate) params: Params,
    /// The access key that signed it.
    pub(crate) access_key: String,
}

/// CloudWatch's name in paths and targets.
const CLOUDWATCH: &str = "GraniteServiceVersion20100801";
/// Members of CloudWatch's answers that are times.
const TIMES: [&str; 3] = ["Timestamps", "Timestamp", "StateUpdatedTimestamp"];

/// Understands a request.
pub(crate) fn decode(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Call, AwsError> {
    let access_key = access_key(headers);
    let path = uri.path();
    if let Some(operation) = path.strip_prefix(&format!("/service/{CLOUDWATCH}/operation/")) {
        let params = object(from_cbor(body)?);
        let operation = operation.to_owned();
        return Ok(Call { service: Service::Cloudwatch, protocol: Protocol::Cbor, operation, params, access_key });
    }
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(operation) = target.strip_prefix(&format!("{CLOUDWATCH}.")) {
        let value = serde_json::from_slice(body)
            .map_err(|error| AwsError::refused("SerializationException", error.to_string()))?;
        let operation = operation.to_owned();
        let params = object(value);
        return Ok(Call { service: Service::Cloudwatch, protocol: Protocol::Json, operation, params, access_key });
    }
    let form = String::from_utf8_lossy(body);
    let form = if form.is_empty() { uri.query().unwrap_or_default() } else { &form };
    let mut params = parse_form(form)?;
    let operation = text(&params, "Action").unwrap_or_default().to_owned();
    let service = match text(&params, "Version") {
        Some("2015-12-01") => Service::Elbv2,
        Some("2010-08-01") => Service::Cloudwatch,
        Some("2011-06-15") => Service::Sts,
        other => {
            return Err(AwsError::refused(
                "InvalidAction",
                format!("Could not find operation {operation} for version {}", other.unwrap_or("NO_VERSION_SPECIFIED")),
            ));
        }
    };
    params.shift_remove("Action");
    params.shift_remove("Version");
    Ok(Call { service, protocol: Protocol::Query, operation, params, access_key })
}

fn object(value: Value) -> Params {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// `Credential=AKIA…/20261123/…` in the `Authorization` header.
fn access_key(headers: &HeaderMap) -> String {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let credential = header.split_once("Credential=").map_or("", |(_, rest)| rest);
    credential.split('/').next().unwrap_or_default().to_owned()
}

fn from_cbor(body: &[u8]) -> Result<Value, AwsError> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    let value: Cbor =
        ciborium::from_reader(body).map_err(|error| AwsError::refused("SerializationException", error.to_string()))?;
    Ok(cbor_to_json(value))
}

fn cbor_to_json(value: Cbor) -> Value {
    match value {
        Cbor::Integer(number) => i64::try_from(number).map_or(Value::Null, Value::from),
        Cbor::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Cbor::Text(text) => Value::String(text),
        Cbor::Bool(flag) => Value::Bool(flag),
        Cbor::Tag(_, inner) => cbor_to_json(*inner),
        Cbor::Array(items) => items.into_iter().map(cbor_to_json).collect(),
        Cbor::Map(entries) => {
            let pairs = entries.into_iter().filter_map(|(key, value)| Some((key.into_text().ok()?, value)));
            Value::Object(pairs.map(|(key, value)| (key, cbor_to_json(value))).collect())
        }
        _ => Value::Null,
    }
}

fn json_to_cbor(name: &str, value: &Value) -> Cbor {
    match value {
        // JSON has no NaN
        Value::Null if name == "Values" => Cbor::Float(f64::NAN),
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Number(number) if TIMES.contains(&name) => {
            Cbor::Tag(1, Box::new(Cbor::Float(number.as_f64().unwrap_or_default())))
        }
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cbor::Integer(whole.into()),
            None => Cbor::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| json_to_cbor(name, item)).collect()),
        Value::Object(fields) => Cbor::Map(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (Cbor::Text(key.clone()), json_to_cbor(key, value)))
                .collect(),
        ),
    }
}

/// Times as text, for XML.
fn with_iso_times(name: &str, value: &Value) -> Value {
    match value {
        Value::Number(seconds) if TIMES.contains(&name) => {
            Value::String(iso((seconds.as_f64().unwrap_or_default() * 1000.0).round() as Millis))
        }
        Value::Array(items) => items.iter().map(|item| with_iso_times(name, item)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), with_iso_times(key, value))).collect())
        }
        other => other.clone(),
    }
}

/// Writes an answer.
pub(crate) fn encode(
    service: Service,
    protocol: Protocol,
    operation: &str,
    outcome: &Result<Value, AwsError>,
    request_id: &str,
) -> Response {
    let status = outcome.as_ref().map_or_else(|error| error.status, |_| 200);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match protocol {
        Protocol::Query => {
            let body = match outcome {
                Ok(value) => xml_answer(service.namespace(), operation, &with_iso_times("", value), request_id),
                Err(error) => xml_error(service.namespace(), error, request_id),
            };
            (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
        }
        Protocol::Json => {
            let body = json_body(outcome).to_string();
            (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
        }
        Protocol::Cbor => {
            let mut body = Vec::new();
            ciborium::into_writer(&json_to_cbor("", &json_body(outcome)), &mut body).unwrap();
            (status, [(header::CONTENT_TYPE, "application/cbor")], body).into_response()
        }
    };
    let headers = response.headers_mut();
    if protocol == Protocol::Cbor {
        headers.insert("smithy-protocol", header::HeaderValue::from_static("rpc-v2-cbor"));
    }
    if let Ok(id) = header::HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    if let Err(error) = outcome
        && protocol != Protocol::Query
    {
        // a service that once spoke awsQuery keeps answering its old codes in this header
        let sender = if error.status < 500 { "Sender" } else { "Receiver" };
        if let Ok(value) = header::HeaderValue::from_str(&format!("{};{sender}", error.code)) {
            headers.insert("x-amzn-query-error", value);
        }
    }
    response
}

fn json_body(outcome: &Result<Value, AwsError>) -> Value {
    match outcome {
        Ok(value) => value.clone(),
        Err(error) => {
            json!({"__type": format!("com.amazonaws.cloudwatch#{}", error.code), "message": error.message})
        }
    }
}
