"""conf/deploy/aws: what may be done is what the program does, in each of its three forms."""
import glob
import json
import os
import re

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AWS = os.path.join(ROOT, "conf", "deploy", "aws")
PLACES = {"bucket": "acme-mail", "prefix": "mail", "partition": "aws"}

# What each request of s3/transfer.h asks of IAM, and of whom. A request that is new there
# has to be decided upon here. HEAD compares what a retry finds under its key; without the
# right to it the upload is taken as it is. stowage links extend looks so, as readers do,
# whether a file is there.
NEEDS = {
    "S3_PUT": ("uploader", "s3:PutObject"),
    "S3_CREATE": ("uploader", "s3:PutObject"),
    "S3_PART": ("uploader", "s3:PutObject"),
    "S3_COMPLETE": ("uploader", "s3:PutObject"),
    "S3_ABORT": ("uploader", "s3:AbortMultipartUpload"),
    "S3_DELETE": ("revoker", "s3:DeleteObject"),
    "S3_HEAD": None,
    "a link": ("linker", "s3:GetObject"),
}
# The same for requests to SES's API: their path in gateway/relay.
SES_NEEDS = {"/v2/email/account": "ses:GetAccount"}


def read(name):
    with open(os.path.join(AWS, name)) as file:
        return file.read()


def policy(name):
    """A policy as Terraform's templatefile() gives it."""
    return json.loads(re.sub(r"\$\{(\w+)\}", lambda found: PLACES[found.group(1)],
                             read(name + ".json")))


def template():
    return yaml.safe_load(read("cloudformation.yaml"))


def resolved(value):
    """A value of the template with its references put in."""
    names = {"AWS::Partition": PLACES["partition"], "Bucket": PLACES["bucket"],
             "Prefix": PLACES["prefix"]}
    if isinstance(value, dict) and list(value) == ["Fn::Sub"]:
        return re.sub(r"\$\{([\w:]+)\}", lambda found: names[found.group(1)],
                      value["Fn::Sub"])
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    return [resolved(item) for item in value] if isinstance(value, list) else value


def test_every_request_of_the_program_is_in_the_table():
    with open(os.path.join(ROOT, "s3", "transfer.h")) as file:
        enum = re.search(r"enum s3_action \{(.*?)\};", file.read(), re.S).group(1)
    requests = set(re.findall(r"\bS3_[A-Z_]+\b", enum))
    assert requests | {"a link"} == set(NEEDS)


@pytest.mark.parametrize("who", ["uploader", "linker", "revoker"])
def test_a_policy_allows_what_is_needed_and_nothing_else(who):
    statements = policy(who)["Statement"]
    allowed = [action for statement in statements for action in statement["Action"]]
    assert sorted(allowed) == sorted({need[1] for need in NEEDS.values()
                                      if need and need[0] == who})
    for statement in statements:
        assert (statement["Effect"], statement["Resource"]) == \
            ("Allow", "arn:aws:s3:::acme-mail/mail/*")


def test_what_is_asked_of_ses_is_allowed_and_nothing_else():
    sources = "".join(open(path).read() for path in
                      glob.glob(os.path.join(ROOT, "gateway", "relay", "*.c")))
    assert set(re.findall(r'"(/v2/[\w/]+)"', sources)) == set(SES_NEEDS)
    (statement,) = policy("account")["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == \
        ("Allow", sorted(SES_NEEDS.values()), "*")


def test_of_the_bucket_itself_nothing_is_asked_but_its_lifecycle():
    sources = "".join(open(path).read() for path in
                      glob.glob(os.path.join(ROOT, "s3", "*.c")))
    assert len(re.findall(r's3_endpoint_(?:path|url)\([^;]*, ""\)', sources)) == 2
    assert '{ "lifecycle", "" }' in sources
    (statement,) = policy("retention")["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == \
        ("Allow", ["s3:GetLifecycleConfiguration"], "arn:aws:s3:::acme-mail")


def test_the_bucket_denies_what_is_not_tls():
    statements = policy("bucket")["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Deny"}
    conditions = [statement["Condition"] for statement in statements]
    assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
    for statement in statements:
        assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")
        assert statement["Resource"] == ["arn:aws:s3:::acme-mail", "arn:aws:s3:::acme-mail/*"]


@pytest.mark.parametrize("name, resource", [
    ("uploader", "UploaderPolicy"), ("linker", "LinkerPolicy"),
    ("revoker", "RevokerPolicy"), ("account", "AccountPolicy"), ("bucket", "AttachmentsPolicy"),
    ("retention", "RetentionPolicy")])
def test_cloudformation_says_the_same(name, resource):
    document = template()["Resources"][resource]["Properties"]["PolicyDocument"]
    assert resolved(document) == policy(name)


def test_the_bucket_is_closed_and_forgets_in_each_form():
    bucket = template()["Resources"]["Attachments"]["Properties"]
    terraform = read("main.tf")
    rule = json.loads(read("lifecycle.json"))["Rules"][0]
    for name, snake in [("BlockPublicAcls", "block_public_acls"),
                        ("BlockPublicPolicy", "block_public_policy"),
                        ("IgnorePublicAcls", "ignore_public_acls"),
                        ("RestrictPublicBuckets", "restrict_public_buckets")]:
        assert bucket["PublicAccessBlockConfiguration"][name] is True
        assert re.search(rf"\b{snake}\s*= true\n", terraform)
    (made,) = bucket["LifecycleConfiguration"]["Rules"]
    assert resolved(made["Prefix"]) == rule["Filter"]["Prefix"]
    assert template()["Parameters"]["RetentionDays"]["Default"] == rule["Expiration"]["Days"]
    assert made["AbortIncompleteMultipartUpload"] == rule["AbortIncompleteMultipartUpload"]
    assert "days_after_initiation = 1\n" in terraform
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert made["NoncurrentVersionExpiration"] == rule["NoncurrentVersionExpiration"]
    assert "noncurrent_days = 1\n" in terraform


def test_terraform_reads_the_policies_beside_it():
    terraform = read("main.tf")
    read_there = set(re.findall(r'templatefile\("\$\{path\.module\}/(\w+)\.json", local\.names\)',
                                terraform))
    assert read_there == {"uploader", "linker", "revoker", "bucket", "account",
                          "retention"}
    names = re.search(r"names = \{(.*?)\n  \}", terraform, re.S).group(1)
    assert set(re.findall(r"(\w+)\s*=", names)) == set(PLACES)
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|#.*', "", terraform)
    assert bare.count("{") == bare.count("}")


def test_nothing_here_is_read_by_nobody():
    assert sorted(os.path.basename(path) for path in glob.glob(AWS + "/*")) == [
        "account.json", "bucket.json", "cloudformation.yaml", "lifecycle.json", "linker.json",
        "main.tf", "retention.json", "revoker.json", "uploader.json"]
