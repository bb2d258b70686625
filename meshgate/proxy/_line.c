/* The C twin of meshgate.proxy.log_line: the usual access log line, as text or as JSON.
 *
 * The twin escapes nothing. For a record in which something has to be escaped, cut, or rounded with care, it returns
 * None, and the module in Python writes that line: the rules of escaping stand in one place. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <string.h>
#include <time.h>

enum {
    /* Longer lines are left to the module in Python. */
    LONGEST = 4096,
    MAX_ALPN = 16,
    MAX_ALPN_LENGTH = 128,
};

/* Who chose a string: the gateway or its users, or a client. */
enum { OURS = 1, CLIENTS = 2, IN_JSON = 4 };

/* For each character, where it needs no escape: in text in a string of ours, in text in one of a client's, in JSON. */
static unsigned char plain[256];

typedef struct {
    char text[LONGEST];
    size_t length;
    int json;
    /* A value does not fit, or has to be escaped: the line is left to the module in Python. */
    int refused;
} Line;

static inline __attribute__((always_inline)) void put(Line *line, const char *text, size_t length)
{
    if (length > sizeof line->text - line->length) {
        line->refused = 1;
        return;
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

#define PUT(line, text) put(line, text, sizeof(text) - 1)

static void put_absent(Line *line)
{
    if (line->json)
        PUT(line, "null");
    else
        PUT(line, "-");
}

static void put_quote(Line *line)
{
    if (line->json)
        PUT(line, "\"");
}

/* Put the characters of a string, without quotes. */
static void put_characters(Line *line, PyObject *value, unsigned char origin)
{
    const Py_UCS1 *text;
    char *to = line->text + line->length;
    size_t length;
    unsigned char where = line->json ? IN_JSON : origin, all = where;

    if (!PyUnicode_Check(value) || !PyUnicode_IS_COMPACT_ASCII(value)) {
        line->refused = 1;
        return;
    }
    text = PyUnicode_1BYTE_DATA(value);
    length = (size_t)PyUnicode_GET_LENGTH(value);
    if (length > sizeof line->text - line->length) {
        line->refused = 1;
        return;
    }
    for (size_t i = 0; i < length; i++) {
        to[i] = (char)text[i];
        all &= plain[text[i]];
    }
    line->length += length;
    if (!all)
        line->refused = 1;
}

static void put_string(Line *line, PyObject *value, unsigned char origin)
{
    put_quote(line);
    put_characters(line, value, origin);
    put_quote(line);
}

static void put_value(Line *line, PyObject *value, unsigned char origin)
{
    if (value == Py_None || (PyUnicode_Check(value) && !PyUnicode_GET_LENGTH(value)))
        put_absent(line);
    else
        put_string(line, value, origin);
}

static void put_ours(Line *line, PyObject *value)
{
    put_value(line, value, OURS);
}

/* In text, a client's dash has to be escaped, since a dash stands for an absent value. */
static int is_dash(Line *line, PyObject *value)
{
    return !line->json && PyUnicode_Check(value) && !PyUnicode_CompareWithASCIIString(value, "-");
}

static void put_clients(Line *line, PyObject *value)
{
    if (is_dash(line, value))
        line->refused = 1;
    else
        put_value(line, value, CLIENTS);
}

static void put_digits(Line *line, unsigned long long value, int least)
{
    char digits[20];
    int count = 0;

    do
        digits[sizeof digits - ++count] = (char)('0' + value % 10);
    while ((value /= 10) || count < least);
    put(line, digits + sizeof digits - count, (size_t)count);
}

static void put_number(Line *line, PyObject *value)
{
    long long number = PyLong_AsLongLong(value);

    if (number >= 0) {
        put_digits(line, (unsigned long long)number, 1);
        return;
    }
    PyErr_Clear();
    line->refused = 1;
}

/* Seconds with six decimals, as %.6f. */
static void put_seconds(Line *line, PyObject *value)
{
    double microseconds, whole, error;

    if (value == Py_None) {
        put_absent(line);
        return;
    }
    microseconds = PyFloat_AsDouble(value) * 1e6;
    whole = floor(microseconds);
    /* Refuse a value so near to the middle of two that the error of the product decides the last digit, and a negative
     * one. */
    error = 1e-6 + microseconds * 1e-15;
    if (signbit(microseconds) || !(microseconds < 1e13) || fabs(microseconds - whole - 0.5) < error) {
        line->refused = 1;
        return;
    }
    if (microseconds - whole > 0.5)
        whole += 1;
    put_digits(line, (unsigned long long)whole / 1000000, 1);
    PUT(line, ".");
    put_digits(line, (unsigned long long)whole % 1000000, 6);
}

/* Seconds since the epoch as RFC 3339, UTC, with milliseconds. */
static void put_time(Line *line, PyObject *value)
{
    static time_t cached_second = -1;
    static char text[32];
    static size_t length;
    double milliseconds = PyFloat_AsDouble(value) * 1000 + 0.5;
    time_t second;
    struct tm fields;

    if (!(milliseconds >= 0 && milliseconds < 1e14)) {
        line->refused = 1;
        return;
    }
    second = (time_t)((unsigned long long)milliseconds / 1000);
    if (second != cached_second) {
        cached_second = -1;
        if (!gmtime_r(&second, &fields) || !(length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &fields))) {
            line->refused = 1;
            return;
        }
        cached_second = second;
    }
    put_quote(line);
    put(line, text, length);
    PUT(line, ".");
    put_digits(line, (unsigned long long)milliseconds % 1000, 3);
    PUT(line, "Z");
    put_quote(line);
}

/* An address and a port, the address in brackets if it is an IPv6 one. */
static void put_client(Line *line, PyObject *client)
{
    PyObject *host;
    int is_ipv6;

    if (!PyTuple_Check(client) || PyTuple_GET_SIZE(client) != 2 || !PyUnicode_Check(PyTuple_GET_ITEM(client, 0))) {
        line->refused = 1;
        return;
    }
    host = PyTuple_GET_ITEM(client, 0);
    is_ipv6 = PyUnicode_FindChar(host, ':', 0, PyUnicode_GET_LENGTH(host), 1) >= 0;
    put_quote(line);
    if (is_ipv6)
        PUT(line, "[");
    put_characters(line, host, OURS);
    if (is_ipv6)
        PUT(line, "]");
    PUT(line, ":");
    put_number(line, PyTuple_GET_ITEM(client, 1));
    put_quote(line);
}

/* The offered protocols: names with commas in text, a list of strings in JSON. */
static void put_alpn(Line *line, PyObject *names)
{
    Py_ssize_t count, total = 0;

    if (!PyTuple_Check(names) || (count = PyTuple_GET_SIZE(names)) > MAX_ALPN) {
        line->refused = 1;
        return;
    }
    if (!count) {
        put_absent(line);
        return;
    }
    if (line->json)
        PUT(line, "[");
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);

        if (!PyUnicode_Check(name) || (total += PyUnicode_GET_LENGTH(name)) > MAX_ALPN_LENGTH) {
            line->refused = 1;
            return;
        }
        if (i)
            PUT(line, ",");
        if (line->json)
            put_string(line, name, CLIENTS);
        else
            put_clients(line, name);
    }
    if (line->json)
        PUT(line, "]");
}

typedef struct {
    const char *text_key, *json_key;
    size_t text_length, json_length;
    void (*put)(Line *line, PyObject *value);
} Field;

#define FIELD(before_text, before_json, name, put_it)                                                                  \
    {                                                                                                                  \
        before_text name "=", before_json "\"" name "\":", sizeof(before_text name "=") - 1,                           \
            sizeof(before_json "\"" name "\":") - 1, put_it                                                            \
    }
#define NEXT(name, put_it) FIELD(" ", ",", name, put_it)

/* The values of a line, in the order in which the module in Python passes them. */
static const Field fields[] = {
    FIELD("", "{", "time", put_time),
    NEXT("id", put_number),
    NEXT("listener", put_ours),
    NEXT("client", put_client),
    NEXT("sni", put_clients),
    NEXT("alpn", put_alpn),
    NEXT("gateway", put_ours),
    NEXT("virtual_service", put_ours),
    NEXT("destination", put_ours),
    NEXT("endpoint", put_ours),
    NEXT("bytes_in", put_number),
    NEXT("bytes_out", put_number),
    NEXT("duration", put_seconds),
    NEXT("first_byte", put_seconds),
    NEXT("dial", put_seconds),
    NEXT("dial_error", put_ours),
    NEXT("ending", put_ours),
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

static PyObject *make_line(PyObject *const *values, Py_ssize_t count, int json)
{
    Line line;
    PyObject *text;

    if (count != FIELDS)
        return PyErr_Format(PyExc_TypeError, "a line has %d values, not %zd", FIELDS, count);
    line.length = 0;
    line.json = json;
    line.refused = 0;
    for (int i = 0; i < FIELDS && !line.refused; i++) {
        const Field *field = &fields[i];

        if (json)
            put(&line, field->json_key, field->json_length);
        else
            put(&line, field->text_key, field->text_length);
        field->put(&line, values[i]);
    }
    if (json)
        PUT(&line, "}");
    if (PyErr_Occurred())
        return NULL;
    if (line.refused)
        Py_RETURN_NONE;
    text = PyUnicode_New((Py_ssize_t)line.length, 127);
    if (text)
        memcpy(PyUnicode_1BYTE_DATA(text), line.text, line.length);
    return text;
}

static PyObject *text_line(PyObject *module, PyObject *const *values, Py_ssize_t count)
{
    return make_line(values, count, 0);
}

static PyObject *json_line(PyObject *module, PyObject *const *values, Py_ssize_t count)
{
    return make_line(values, count, 1);
}

static PyMethodDef functions[] = {
    {"text_line", (PyCFunction)(void (*)(void))text_line, METH_FASTCALL,
     "text_line(*values): the line, or None if a value has to be escaped or is unusual."},
    {"json_line", (PyCFunction)(void (*)(void))json_line, METH_FASTCALL,
     "json_line(*values): the same as a JSON object."},
    {NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "meshgate.proxy._line",
    .m_doc = "The usual access log line, for meshgate.proxy.log_line.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__line(void)
{
    for (int c = ' '; c <= '~'; c++)
        plain[c] = c == '"' || c == '\\' ? 0 : c == ' ' ? IN_JSON : OURS | IN_JSON;
    for (const char *at = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/*+-"; *at; at++)
        plain[(unsigned char)*at] |= CLIENTS;
    return PyModule_Create(&module);
}
