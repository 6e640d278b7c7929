"""Classes that are rows of a table: made in a loop, and real attributes of their module."""

import sys
import types


def declare_class(module, name, bases, doc, arguments=None, **attributes):
    """Make a class and put it in a module, where imports, `pickle` and `help` find it.

    Args:
        module: name of the module, which is being imported.
        name: name of the class.
        bases: tuple of its bases.
        doc: its docstring.
        arguments: keyword arguments of the class statement.
        attributes: what stands in its body.

    Returns:
        The class.
    """
    body = {"__module__": module, "__qualname__": name, "__doc__": doc, **attributes}
    cls = types.new_class(name, bases, arguments, lambda namespace: namespace.update(body))
    setattr(sys.modules[module], name, cls)
    return cls
