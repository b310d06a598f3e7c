"""The training step that `minidl debug` goes through, as one would write it."""


def training_step(model, images, labels, loss_fn, optimizer):
    """Forward, backward and update, once."""
    scores = model(images)
    loss = loss_fn(scores, labels)
    loss.backward()
    optimizer.step()
    return loss
