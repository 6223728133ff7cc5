"""Makes the typical blue/green set-up in a moto server and prints its ARNs as JSON."""

import json
import boto3

elb = boto3.client("elbv2")
ec2 = boto3.client("ec2")
subnets = ec2.describe_subnets()["Subnets"][:2]
vpc = subnets[0]["VpcId"]
balancer = elb.create_load_balancer(
    Name="web", Subnets=[subnet["SubnetId"] for subnet in subnets], Scheme="internal", Type="application"
)["LoadBalancers"][0]["LoadBalancerArn"]


def group(name, net):
    arn = elb.create_target_group(
        Name=name, Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", HealthCheckPath="/"
    )["TargetGroups"][0]["TargetGroupArn"]
    targets = [{"Id": f"172.31.{net}.{host}", "Port": 8080} for host in (10, 11)]
    elb.register_targets(TargetGroupArn=arn, Targets=targets)
    return arn


blue, green = group("web-blue", 1), group("web-green", 2)


def forward():
    return {
        "Type": "forward",
        "Order": 1,
        "ForwardConfig": {
            "TargetGroups": [
                {"TargetGroupArn": blue, "Weight": 100},
                {"TargetGroupArn": green, "Weight": 0},
            ],
            "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 5},
        },
    }


listener = elb.create_listener(
    LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[forward()]
)["Listeners"][0]["ListenerArn"]
rule = elb.create_rule(
    ListenerArn=listener,
    Priority=10,
    Conditions=[{"Field": "path-pattern", "Values": ["/sign/*"]}],
    Actions=[forward()],
)["Rules"][0]["RuleArn"]
print(
    json.dumps({"load_balancer": balancer, "listener": listener, "rule": rule, "blue": blue, "green": green})
)
