//! `DescribeAlarms`, by name.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};

use super::CloudWatch;
use crate::aws::Call;
use crate::domain::ids::Arn;
use crate::domain::observation::{AlarmSeen, AlarmState, Trouble, TroubleKind};

/// Most names in one call, and most alarms on one page.
const NAMES_MAX: usize = 100;

/// Most pages of one call: 100 names in pages of 100 fit on one, but CloudWatch may make them smaller.
const PAGES_MAX: usize = 100;

/// Where an alarm is: its region, empty for the default one, and its name.
type Place = (String, String);

/// Reads a name as the plan has it: a name, or an ARN for an alarm of another region than the default one.
fn place(name: &str) -> Place {
    let arn = Arn::new(name);
    match arn.resource().strip_prefix("alarm:") {
        Some(plain) if name.starts_with("arn:") => (arn.region().to_owned(), plain.to_owned()),
        Some(_) | None => (String::new(), name.to_owned()),
    }
}

impl CloudWatch {
    /// The states of the alarms, in the order of the names.
    pub(super) async fn describe(&self, names: &[String]) -> Result<Vec<AlarmSeen>, Trouble> {
        let mut regions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (region, name) in names.iter().map(|name| place(name)) {
            regions.entry(region).or_default().insert(name);
        }
        let mut states: BTreeMap<Place, AlarmState> = BTreeMap::new();
        for (region, wanted) in regions {
            let wanted: Vec<String> = wanted.into_iter().collect();
            for some in wanted.chunks(NAMES_MAX) {
                let found = self.describe_some(&region, some).await?;
                states.extend(found.into_iter().map(|(name, state)| ((region.clone(), name), state)));
            }
        }
        let seen = |name: &String| AlarmSeen {
            name: name.clone(),
            state: states.get(&place(name)).copied().unwrap_or(AlarmState::Missing),
        };
        Ok(names.iter().map(seen).collect())
    }

    async fn describe_some(&self, region: &str, names: &[String]) -> Result<Vec<(String, AlarmState)>, Trouble> {
        const CALL: Call = Call::cloudwatch("DescribeAlarms");
        let mut found = Vec::new();
        let mut token = None;
        for _page in 0..PAGES_MAX {
            self.pace(region).describe_alarms(CALL).await?;
            let sending = self
                .clients
                .in_region(region)
                .cloudwatch
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                // Without this, only metric alarms are answered.
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .max_records(100)
                .set_next_token(token)
                .send();
            let page = self.clients.call(CALL, Box::pin(sending)).await?;
            let single = page.metric_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
            let composite = page.composite_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
            for (name, state) in single.chain(composite) {
                if let Some(name) = name {
                    found.push((name.to_owned(), state_of(name, state)?));
                }
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Trouble { kind: TroubleKind::Transient, message: format!("{CALL}: the pages of the answer do not end") })
    }
}

/// A state that is not known is no state: neither good nor bad may be concluded from it.
fn state_of(name: &str, state: Option<&StateValue>) -> Result<AlarmState, Trouble> {
    match state {
        Some(StateValue::Ok) => Ok(AlarmState::Ok),
        Some(StateValue::Alarm) => Ok(AlarmState::Alarm),
        Some(StateValue::InsufficientData) => Ok(AlarmState::InsufficientData),
        other => Err(Trouble {
            kind: TroubleKind::Transient,
            message: format!(
                "cloudwatch:DescribeAlarms: alarm `{name}` has the unknown state `{}`",
                other.map_or("", StateValue::as_str)
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_an_alarm_of_another_region() {
        let arn = "arn:aws:cloudwatch:eu-west-2:123456789012:alarm:too:many errors";
        assert_eq!(place(arn), ("eu-west-2".to_owned(), "too:many errors".to_owned()));
        for plain in ["errors", "arn:", "a:b:c:d:e:alarm:x"] {
            assert_eq!(place(plain), (String::new(), plain.to_owned()));
        }
    }

    #[test]
    fn a_state_that_is_not_known_is_no_state() {
        assert_eq!(state_of("a", Some(&StateValue::InsufficientData)), Ok(AlarmState::InsufficientData));
        assert!(state_of("a", Some(&StateValue::from("NOVELTY"))).is_err());
        assert!(state_of("a", None).is_err());
    }
}
