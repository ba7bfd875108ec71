"""Errors that a user can act on."""


class UserError(Exception):
    """A problem with the user's files, flags or config.

    The message is one or two sentences that name the file, the record, the
    value and the remedy. Scripts print it without a traceback and exit with
    code 2 (see `keras_wsss.commands.cli`).
    """


class Terminated(Exception):
    """The process was asked to end by SIGTERM, and saved its state first.

    Scripts print the message and exit with code 143, as a shell expects.
    """


def printable(text: str) -> str:
    """Text from a file, made safe for a terminal and any encoding.

    Control characters, which could clear the screen or hide a line, and
    halves of characters, which cannot be printed, become escapes.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )


class DataError(UserError):
    """A picture, mask, annotation or tags file that cannot be used."""


class ConfigError(UserError):
    """A config field or command line flag that cannot be used."""


def first_line(error: Exception) -> str:
    """What an error of a library says, as part of a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0]
