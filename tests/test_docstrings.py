"""What docstrings say of arguments: the defaults."""

import ast
import importlib
import inspect
import pkgutil
import re

import d2l_densenet


def documented_defaults():
    """(where, default as the docstring gives it, default in the signature), of every function, class and method."""
    for info in pkgutil.walk_packages(d2l_densenet.__path__, 'd2l_densenet.'):
        if info.name.endswith(('__main__', 'd2l_api')):
            continue
        module = importlib.import_module(info.name)
        for thing in [thing for thing in vars(module).values() if getattr(thing, '__module__', '') == module.__name__]:
            methods = vars(thing).values() if inspect.isclass(thing) else ()
            for function in filter(callable, (thing, *filter(inspect.isfunction, methods))):
                text = inspect.getdoc(function) or ''
                for names, said in re.findall(r'^(\w[\w, ]*) : .*, default (.+)$', text, re.M):
                    for name in names.split(', '):
                        argument = inspect.signature(function).parameters.get(name)
                        if argument:  # else one of **kwargs
                            yield f'{info.name}.{function.__qualname__}({name})', said, argument.default


def test_defaults_are_those_of_the_signature():
    found = list(documented_defaults())
    assert len(found) > 50
    for where, said, default in found:
        expected = ('mxnet', 'onnx') if said == 'both' else ast.literal_eval(said)
        assert expected == default and isinstance(default, bool) == isinstance(expected, bool), where
