"""What a student is told: the labels, blended with what its teacher says of the same clip."""

import torch.nn.functional as F
from torch import Tensor


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, temperature: float, teacher_share: float
) -> Tensor:
    """Cross-entropy with the labels, blended with the divergence from the teacher.

    Args:
        student_logits: (batch, scenes) float32.
        teacher_logits: (batch, scenes) of the same clips, float16 as cached.
        labels: (batch,) int64, or (batch, scenes) float32 shares of the scenes, where clips are mixed.
        temperature: Above 0. The divergence is multiplied by its square so that gradients keep their scale
            (Hinton et al. 2015, section 2).
        teacher_share: 0 for labels only, 1 for the teacher only.

    Returns:
        () float32, the mean over the batch. The divergence is summed over scenes and averaged over clips, not
        averaged over both as in the CP-JKU 2023 recipe, whose teacher weight is therefore ten times smaller than it
        looks.
    """
    hard = F.cross_entropy(student_logits, labels)
    soft = F.kl_div(
        F.log_softmax(student_logits / temperature, dim=1),
        F.log_softmax(teacher_logits.float() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - teacher_share) * hard + teacher_share * temperature**2 * soft
