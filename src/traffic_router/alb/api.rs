//! The calls to Elastic Load Balancing that the adapter makes, each with its share of the budget, in batches and page
//! by page.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Action, Listener, Rule, Tag, TargetGroup, TargetHealthDescription};

use crate::aws::{AwsClients, Call, CallError, CallOutcome, Quota};
use crate::domain::command::Urgency;
use crate::domain::ids::Arn;
use crate::domain::observation::{Trouble, TroubleKind};

/// Tags or attributes of a resource.
pub(super) type Pairs = BTreeMap<String, String>;

/// Calls in an account and region; which one, the ARNs say.
#[derive(Clone)]
pub(super) struct Api {
    aws: AwsClients,
}

impl Api {
    /// How long a forward call may wait for its share of the budget: beyond it the tick had better end and begin anew.
    pub(super) const PATIENCE: Duration = Duration::from_secs(10);
    /// Names in one call. The API documents 20 for most of its calls and no other number for the rest.
    const BATCH: usize = 20;
    /// Most pages of one answer; 100 rules a load balancer and 400 a page need one. A marker that never ends is a fault.
    const PAGES_MAX: usize = 100;

    pub(super) const fn new(aws: AwsClients) -> Self {
        Self { aws }
    }

    /// Waits for a share of the budget, or takes it without waiting when going back.
    pub(super) async fn turn(&self, at: &Arn, quota: Quota, urgency: Urgency) -> Result<(), CallError> {
        let budget = self.aws.budget(at.account(), at.region());
        match urgency {
            Urgency::Forward => budget.wait(quota, Self::PATIENCE).await.map_err(unsent),
            Urgency::Back => {
                budget.take(quota);
                Ok(())
            }
        }
    }

    /// Waits until the budget has something for a read, and takes nothing.
    pub(super) async fn ready(&self, at: &Arn) -> Result<(), CallError> {
        let budget = self.aws.budget(at.account(), at.region());
        budget.ready(Quota::Describe, Self::PATIENCE).await.map_err(unsent)
    }

    fn client(&self, at: &Arn, urgency: Urgency) -> Client {
        let regional = self.aws.in_region(at.region());
        match urgency {
            Urgency::Forward => regional.elb,
            Urgency::Back => regional.elb_rollback,
        }
    }

    /// Rules by name.
    pub(super) async fn rules(&self, arns: &[&Arn], urgency: Urgency) -> Result<Vec<Rule>, CallError> {
        let mut found = Vec::new();
        for batch in arns.chunks(Self::BATCH) {
            let Some(first) = batch.first() else { continue };
            let names: Vec<String> = batch.iter().map(ToString::to_string).collect();
            let mut pages = Pages::new("DescribeRules");
            while pages.more()? {
                self.turn(first, Quota::Describe, urgency).await?;
                let request = self.client(first, urgency).describe_rules();
                let request = request.set_rule_arns(Some(names.clone())).set_marker(pages.marker());
                let page = self.aws.call(pages.call, request.send()).await?;
                pages.turn(page.next_marker);
                found.extend(page.rules.unwrap_or_default());
            }
        }
        Ok(found)
    }

    /// Listeners by name.
    pub(super) async fn listeners(&self, arns: &[&Arn], urgency: Urgency) -> Result<Vec<Listener>, CallError> {
        let mut found = Vec::new();
        for batch in arns.chunks(Self::BATCH) {
            let Some(first) = batch.first() else { continue };
            let names: Vec<String> = batch.iter().map(ToString::to_string).collect();
            let mut pages = Pages::new("DescribeListeners");
            while pages.more()? {
                self.turn(first, Quota::Describe, urgency).await?;
                let request = self.client(first, urgency).describe_listeners();
                let request = request.set_listener_arns(Some(names.clone())).set_marker(pages.marker());
                let page = self.aws.call(pages.call, request.send()).await?;
                pages.turn(page.next_marker);
                found.extend(page.listeners.unwrap_or_default());
            }
        }
        Ok(found)
    }

    /// All listeners of a load balancer.
    pub(super) async fn listeners_of(&self, load_balancer: &Arn) -> Result<Vec<Listener>, CallError> {
        let mut found = Vec::new();
        let mut pages = Pages::new("DescribeListeners");
        while pages.more()? {
            self.turn(load_balancer, Quota::Describe, Urgency::Forward).await?;
            let request = self.client(load_balancer, Urgency::Forward).describe_listeners();
            let request = request.load_balancer_arn(load_balancer.as_str()).set_marker(pages.marker());
            let page = self.aws.call(pages.call, request.send()).await?;
            pages.turn(page.next_marker);
            found.extend(page.listeners.unwrap_or_default());
        }
        Ok(found)
    }

    /// All rules of a listener, its default rule included.
    pub(super) async fn rules_of(&self, listener: &Arn) -> Result<Vec<Rule>, CallError> {
        let mut found = Vec::new();
        let mut pages = Pages::new("DescribeRules");
        while pages.more()? {
            self.turn(listener, Quota::Describe, Urgency::Forward).await?;
            let request = self.client(listener, Urgency::Forward).describe_rules();
            let request = request.listener_arn(listener.as_str()).set_marker(pages.marker());
            let page = self.aws.call(pages.call, request.send()).await?;
            pages.turn(page.next_marker);
            found.extend(page.rules.unwrap_or_default());
        }
        Ok(found)
    }

    /// A target group.
    pub(super) async fn target_group(&self, arn: &Arn) -> Result<TargetGroup, CallError> {
        const CALL: Call = Call::elb("DescribeTargetGroups");
        self.turn(arn, Quota::Describe, Urgency::Forward).await?;
        let request = self.client(arn, Urgency::Forward).describe_target_groups().target_group_arns(arn.as_str());
        let answer = self.aws.call(CALL, request.send()).await?;
        answer.target_groups.unwrap_or_default().into_iter().next().ok_or_else(|| absent(CALL, arn))
    }

    /// The attributes of a target group.
    pub(super) async fn group_attributes(&self, arn: &Arn) -> Result<Pairs, CallError> {
        self.turn(arn, Quota::Describe, Urgency::Forward).await?;
        let request = self.client(arn, Urgency::Forward).describe_target_group_attributes();
        let request = request.target_group_arn(arn.as_str());
        let answer = self.aws.call(Call::elb("DescribeTargetGroupAttributes"), request.send()).await?;
        let pairs = answer.attributes.unwrap_or_default().into_iter();
        Ok(pairs.filter_map(|pair| Some((pair.key?, pair.value.unwrap_or_default()))).collect())
    }

    /// The targets of a group and their health.
    pub(super) async fn target_health(
        &self,
        arn: &Arn,
        urgency: Urgency,
    ) -> Result<Vec<TargetHealthDescription>, CallError> {
        self.turn(arn, Quota::Describe, urgency).await?;
        let request = self.client(arn, urgency).describe_target_health().target_group_arn(arn.as_str());
        let answer = self.aws.call(Call::elb("DescribeTargetHealth"), request.send()).await?;
        Ok(answer.target_health_descriptions.unwrap_or_default())
    }

    /// The tags of resources.
    pub(super) async fn tags(&self, arns: &[&Arn]) -> Result<BTreeMap<Arn, Pairs>, CallError> {
        let mut found = BTreeMap::new();
        for batch in arns.chunks(Self::BATCH) {
            let Some(first) = batch.first() else { continue };
            self.turn(first, Quota::Describe, Urgency::Forward).await?;
            let names = batch.iter().map(ToString::to_string).collect();
            let request = self.client(first, Urgency::Forward).describe_tags().set_resource_arns(Some(names));
            let answer = self.aws.call(Call::elb("DescribeTags"), request.send()).await?;
            for description in answer.tag_descriptions.unwrap_or_default() {
                let tags = description.tags.unwrap_or_default().into_iter();
                let pairs = tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())));
                found.insert(Arn::new(description.resource_arn.unwrap_or_default()), pairs.collect());
            }
        }
        Ok(found)
    }

    /// Replaces the actions of a rule, or the default actions of a listener. Takes its turn of the budget only when
    /// going back: a forward move has waited for it before it looked.
    pub(super) async fn modify(&self, arn: &Arn, actions: Vec<Action>, urgency: Urgency) -> Result<(), CallError> {
        if urgency == Urgency::Back {
            self.turn(arn, Quota::Modify, urgency).await?;
        }
        let client = self.client(arn, urgency);
        if arn.is_listener_rule() {
            let request = client.modify_rule().rule_arn(arn.as_str()).set_actions(Some(actions));
            self.aws.call(Call::elb("ModifyRule"), request.send()).await?;
        } else {
            let request = client.modify_listener().listener_arn(arn.as_str()).set_default_actions(Some(actions));
            self.aws.call(Call::elb("ModifyListener"), request.send()).await?;
        }
        Ok(())
    }

    /// Sets a tag.
    pub(super) async fn add_tag(&self, arns: &[&Arn], key: &str, value: &str) -> Result<(), CallError> {
        for batch in arns.chunks(Self::BATCH) {
            let Some(first) = batch.first() else { continue };
            self.turn(first, Quota::Modify, Urgency::Forward).await?;
            let names = batch.iter().map(ToString::to_string).collect();
            let tag = Tag::builder().key(key).value(value).build();
            let request = self.client(first, Urgency::Forward).add_tags().set_resource_arns(Some(names)).tags(tag);
            self.aws.call(Call::elb("AddTags"), request.send()).await?;
        }
        Ok(())
    }

    /// Takes a tag away.
    pub(super) async fn remove_tag(&self, arns: &[&Arn], key: &str) -> Result<(), CallError> {
        for batch in arns.chunks(Self::BATCH) {
            let Some(first) = batch.first() else { continue };
            self.turn(first, Quota::Modify, Urgency::Forward).await?;
            let names = batch.iter().map(ToString::to_string).collect();
            let request = self.client(first, Urgency::Forward).remove_tags().set_resource_arns(Some(names));
            self.aws.call(Call::elb("RemoveTags"), request.tag_keys(key).send()).await?;
        }
        Ok(())
    }
}

/// Where a paged answer stands.
struct Pages {
    call: Call,
    marker: Option<String>,
    seen: usize,
    done: bool,
}

impl Pages {
    const fn new(operation: &'static str) -> Self {
        Self { call: Call::elb(operation), marker: None, seen: 0, done: false }
    }

    /// Whether there is another page to ask for.
    fn more(&self) -> Result<bool, CallError> {
        if self.seen < Api::PAGES_MAX {
            return Ok(!self.done);
        }
        let message = format!("{}: the answer has no end: {} pages so far; tried again later", self.call, self.seen);
        let trouble = Trouble { kind: TroubleKind::Transient, message };
        Err(CallError { trouble, outcome: CallOutcome::ServerError, code: None })
    }

    fn marker(&self) -> Option<String> {
        self.marker.clone()
    }

    fn turn(&mut self, next: Option<String>) {
        self.seen += 1;
        self.marker = next.filter(|marker| !marker.is_empty());
        self.done = self.marker.is_none();
    }
}

/// The error for a call that our own budget held back.
const fn unsent(trouble: Trouble) -> CallError {
    CallError { trouble, outcome: CallOutcome::Throttled, code: None }
}

/// The error for something that was asked for by name and is not in the answer.
pub(super) fn absent(call: Call, arn: &Arn) -> CallError {
    let message = format!("{call}: `{arn}` was not in the answer; check the ARN, and whether it was deleted");
    let trouble = Trouble { kind: TroubleKind::Refused, message };
    CallError { trouble, outcome: CallOutcome::Rejected, code: None }
}
