"""The documented classes of a family: one for each row of the table of tasks."""

from keras_roformer import outputs
from keras_roformer.declare import declare_class
from keras_roformer.generation import GenerationMixin
from keras_roformer.tasks import TASKS
from keras_roformer.weights import names


def declare_classes(base, framework, register=lambda cls: cls):
    """Make the documented classes of a family, in the module of their base.

    Args:
        base: the base of the family's classes, see `facades.pretrained.PreTrained`.
        framework: name of the framework, for the docstrings.
        register: what to do with each class: class → class.

    Returns:
        dict of the classes by task.
    """
    classes = {}
    for task, row in TASKS.items():
        output = getattr(outputs, row.output_class_of(base.family))
        classes[task] = register(
            declare_class(
                base.__module__,
                names.class_name(task, base.family),
                (GenerationMixin, base) if row.generates else (base,),
                f"{row.title}, {framework}.\n\nA call gives a `{output.__name__}`: "
                f"{', '.join(output.field_names())}.",
                dict(task=task),
            )
        )
    return classes
