//! The IAM actions that the router uses, and what for.

/// One IAM action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IamAction {
    /// Its name.
    pub action: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether a rollout can do without it.
    pub optional: bool,
    /// Whether it can be limited to the rules and listeners of the route; the API takes only `*` for the others.
    pub scoped: bool,
}

const fn needed(action: &'static str, purpose: &'static str) -> IamAction {
    IamAction { action, purpose, optional: false, scoped: false }
}

const fn optional(action: &'static str, purpose: &'static str) -> IamAction {
    IamAction { action, purpose, optional: true, scoped: false }
}

const fn scoped(action: IamAction) -> IamAction {
    IamAction { scoped: true, ..action }
}

/// Every IAM action that the router uses.
pub const IAM_ACTIONS: &[IamAction] = &[
    needed("elasticloadbalancing:DescribeRules", "read the weights of rules, and before each write all that must stay"),
    needed("elasticloadbalancing:DescribeListeners", "the same for default actions"),
    needed("elasticloadbalancing:DescribeTargetGroups", "check that both groups fit the rule and one another"),
    needed(
        "elasticloadbalancing:DescribeTargetHealth",
        "raise only when green can take it and blue could take it back",
    ),
    scoped(needed("elasticloadbalancing:ModifyRule", "change the weights of rules")),
    scoped(needed("elasticloadbalancing:ModifyListener", "change the weights of default actions")),
    optional("elasticloadbalancing:DescribeTargetGroupAttributes", "warn of stickiness and other differences"),
    optional("elasticloadbalancing:DescribeTags", "notice that another controller owns a rule"),
    scoped(optional("elasticloadbalancing:AddTags", "mark the rules as owned")),
    scoped(optional("elasticloadbalancing:RemoveTags", "take the mark away again")),
];
