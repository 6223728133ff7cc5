//! Weighted target groups of an Application Load Balancer.
mod actions;
mod json;
mod shares;
