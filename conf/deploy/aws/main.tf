# A bucket for attachments, and two identities: one that may only write there, one whose
# links may only read. The policies are the JSON files beside this one.
#
#   terraform apply -var bucket=acme-mail-attachments

variable "bucket" {
  type = string
}

variable "prefix" {
  description = "s3.prefix"
  type        = string
  default     = "mail"
}

variable "retention_days" {
  description = "s3.retention: at least links.expiry"
  type        = number
  default     = 30
}

variable "may_revoke" {
  description = "Whether stowage links revoke may delete objects, with the uploader's key"
  type        = bool
  default     = false
}

variable "may_read_account" {
  description = "Whether SES may be asked for rate and quota, with the uploader's key"
  type        = bool
  default     = false
}

variable "may_read_lifecycle" {
  description = "Whether the bucket may be asked when it deletes objects, with the linker's key"
  type        = bool
  default     = false
}

data "aws_partition" "current" {}

locals {
  names = {
    partition = data.aws_partition.current.partition
    bucket    = var.bucket
    prefix    = var.prefix
  }
}

resource "aws_s3_bucket" "attachments" {
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "attachments" {
  bucket                  = aws_s3_bucket.attachments.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "attachments" {
  bucket = aws_s3_bucket.attachments.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "attachments" {
  bucket = aws_s3_bucket.attachments.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_policy" "attachments" {
  bucket = aws_s3_bucket.attachments.id
  policy = templatefile("${path.module}/bucket.json", local.names)
}

resource "aws_s3_bucket_lifecycle_configuration" "attachments" {
  bucket = aws_s3_bucket.attachments.id
  rule {
    id     = "stowage-retention"
    status = "Enabled"
    filter {
      prefix = "${var.prefix}/"
    }
    expiration {
      days = var.retention_days
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

# A gateway with a role of its own (EC2, ECS, EKS) attaches the uploader's policy to that
# role instead. Links that live for days need the key of a user.
resource "aws_iam_user" "uploader" {
  name = "stowage-uploader"
}

resource "aws_iam_user_policy" "uploader" {
  name   = "stow-attachments"
  user   = aws_iam_user.uploader.name
  policy = templatefile("${path.module}/uploader.json", local.names)
}

resource "aws_iam_user_policy" "revoker" {
  count  = var.may_revoke ? 1 : 0
  name   = "revoke-links"
  user   = aws_iam_user.uploader.name
  policy = templatefile("${path.module}/revoker.json", local.names)
}

resource "aws_iam_user_policy" "account" {
  count  = var.may_read_account ? 1 : 0
  name   = "read-rate-and-quota"
  user   = aws_iam_user.uploader.name
  policy = templatefile("${path.module}/account.json", local.names)
}

resource "aws_iam_user" "linker" {
  name = "stowage-linker"
}

resource "aws_iam_user_policy" "linker" {
  name   = "sign-links"
  user   = aws_iam_user.linker.name
  policy = templatefile("${path.module}/linker.json", local.names)
}

resource "aws_iam_user_policy" "retention" {
  count  = var.may_read_lifecycle ? 1 : 0
  name   = "read-lifecycle-rules"
  user   = aws_iam_user.linker.name
  policy = templatefile("${path.module}/retention.json", local.names)
}
