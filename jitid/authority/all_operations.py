"""All operations that the authority of this process performs itself, for the type checker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitid.capabilities.audit.operations import FollowLog, ReadLog, SignHead
    from jitid.capabilities.identity.operations import HandBack, Revoke, Verify
    from jitid.capabilities.integrity.operations import CutLog, Examine, ExportLog, Prune, VerifyLog
    from jitid.capabilities.inventory.operations import (
        GiveTask,
        Inspect,
        ListCredentials,
        ListTasks,
        Retire,
        ShareTask,
        ShowTask,
        ShowTree,
    )
    from jitid.capabilities.issue.operations import AbandonAttachment, AbandonRenewal, Attach, Issue, Renew
    from jitid.capabilities.leak.operations import (
        AddLeaks,
        CloseLeaks,
        ListLeaks,
        ProveLeaks,
        RecountLeaks,
        ShowLeaks,
        Trace,
    )
    from jitid.capabilities.report.operations import MakeReport
    from jitid.capabilities.sweep.operations import Fix, FlyCanaries, ForeseeFix, Sweep
    from jitid.capabilities.trust.operations import (
        ListKeys,
        PublishKeys,
        PublishSshAuthorities,
        PublishSshRevocations,
        RevokeKey,
        RotateKey,
    )
    from jitid.operation.base import (
        AccessOperation,
        AdoptionOperation,
        ApprovalOperation,
        CertificateOperation,
        DirectoryOperation,
        PolicyOperation,
        PublicationOperation,
        TargetOperation,
        TokenOperation,
        UseOperation,
    )

    AnyOperation = (
        Issue
        | Attach
        | FlyCanaries
        | Renew
        | AbandonRenewal
        | AbandonAttachment
        | Verify
        | Inspect
        | Trace
        | AddLeaks
        | ListLeaks
        | ShowLeaks
        | RecountLeaks
        | CloseLeaks
        | ProveLeaks
        | ListCredentials
        | ShowTree
        | Revoke
        | HandBack
        | Retire
        | ListTasks
        | ShowTask
        | ShareTask
        | GiveTask
        | ReadLog
        | FollowLog
        | SignHead
        | VerifyLog
        | Prune
        | CutLog
        | ExportLog
        | ListKeys
        | RotateKey
        | RevokeKey
        | PublishKeys
        | PublishSshAuthorities
        | PublishSshRevocations
        | Examine
        | Sweep
        | ForeseeFix
        | Fix
        | MakeReport
        | ApprovalOperation[Any]
        | PolicyOperation[Any]
        | PublicationOperation[Any]
        | DirectoryOperation[Any]
        | UseOperation[Any]
        | TokenOperation[Any]
        | TargetOperation[Any]
        | CertificateOperation[Any]
        | AccessOperation[Any]
        | AdoptionOperation[Any]
    )
