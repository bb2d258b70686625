/* The usual line of the access log, put together by machine code: what meshgate.proxy.log_line has in Python, for those
 * who compile.
 *
 * Knows which characters need no escape, and the order of a line's parts. A record with anything else in it is left to
 * the module in Python: there is one place that escapes. */

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

/* Which characters stand for themselves: in what we say ourselves, and in what a client sent. */
enum { OWN = 1, STRANGE = 2 };
static unsigned char plain[256];

typedef struct {
    char text[LONGEST];
    size_t length;
    /* Something does not fit, or has to be escaped. */
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

/* A string, as long as all its characters are of a kind. */
static void put_string(Line *line, PyObject *value, unsigned char kind)
{
    const Py_UCS1 *text;
    char *to = line->text + line->length;
    size_t length;
    unsigned char all = kind;

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

/* The same, with a dash for what never was. */
static void put_value(Line *line, PyObject *value, unsigned char kind)
{
    if (value == Py_None || (PyUnicode_Check(value) && !PyUnicode_GET_LENGTH(value)))
        PUT(line, "-");
    else if (kind == STRANGE && PyUnicode_Check(value) && !PyUnicode_CompareWithASCIIString(value, "-"))
        line->refused = 1;
    else
        put_string(line, value, kind);
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

/* Seconds with six decimals, as %.6f; a dash for None. */
static void put_seconds(Line *line, PyObject *value)
{
    double microseconds, whole, doubt;

    if (value == Py_None) {
        PUT(line, "-");
        return;
    }
    microseconds = PyFloat_AsDouble(value) * 1e6;
    whole = floor(microseconds);
    /* Where the product's own rounding could decide the last digit, it is not for us to say; nor are negative ones. */
    doubt = 1e-6 + microseconds * 1e-15;
    if (signbit(microseconds) || !(microseconds < 1e13) || fabs(microseconds - whole - 0.5) < doubt) {
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
    static time_t known = -1;
    static char text[32];
    static size_t length;
    double milliseconds = PyFloat_AsDouble(value) * 1000 + 0.5;
    time_t second;
    struct tm parts;

    if (!(milliseconds >= 0 && milliseconds < 1e14)) {
        line->refused = 1;
        return;
    }
    second = (time_t)((unsigned long long)milliseconds / 1000);
    if (second != known) {
        known = -1;
        if (!gmtime_r(&second, &parts) || !(length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts))) {
            line->refused = 1;
            return;
        }
        known = second;
    }
    put(line, text, length);
    PUT(line, ".");
    put_digits(line, (unsigned long long)milliseconds % 1000, 3);
    PUT(line, "Z");
}

static void put_client(Line *line, PyObject *client)
{
    PyObject *host;
    int six;

    if (!PyTuple_Check(client) || PyTuple_GET_SIZE(client) != 2 || !PyUnicode_Check(PyTuple_GET_ITEM(client, 0))) {
        line->refused = 1;
        return;
    }
    host = PyTuple_GET_ITEM(client, 0);
    six = PyUnicode_FindChar(host, ':', 0, PyUnicode_GET_LENGTH(host), 1) >= 0;
    if (six)
        PUT(line, "[");
    put_string(line, host, OWN);
    if (six)
        PUT(line, "]");
    PUT(line, ":");
    put_number(line, PyTuple_GET_ITEM(client, 1));
}

static void put_alpn(Line *line, PyObject *names)
{
    Py_ssize_t count, total = 0;

    if (!PyTuple_Check(names)) {
        line->refused = 1;
        return;
    }
    count = PyTuple_GET_SIZE(names);
    if (count > MAX_ALPN)
        line->refused = 1;
    if (!count)
        PUT(line, "-");
    for (Py_ssize_t i = 0; i < count && !line->refused; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);

        if (!PyUnicode_Check(name) || (total += PyUnicode_GET_LENGTH(name)) > MAX_ALPN_LENGTH) {
            line->refused = 1;
            return;
        }
        if (i)
            PUT(line, ",");
        put_value(line, name, STRANGE);
    }
}

enum {
    STARTED, ID, LISTENER, CLIENT, SNI, ALPN, GATEWAY, VIRTUAL_SERVICE, DESTINATION, ENDPOINT, BYTES_IN, BYTES_OUT,
    DURATION, FIRST_BYTE, DIAL, DIAL_ERROR, ENDING, FACTS
};

static PyObject *text_line(PyObject *module, PyObject *const *facts, Py_ssize_t given)
{
    Line line;
    PyObject *text;

    if (given != FACTS)
        return PyErr_Format(PyExc_TypeError, "%zd facts are given, a line has %d", given, FACTS);
    line.length = 0;
    line.refused = 0;
    PUT(&line, "time=");
    put_time(&line, facts[STARTED]);
    PUT(&line, " id=");
    put_number(&line, facts[ID]);
    PUT(&line, " listener=");
    put_value(&line, facts[LISTENER], OWN);
    PUT(&line, " client=");
    put_client(&line, facts[CLIENT]);
    PUT(&line, " sni=");
    put_value(&line, facts[SNI], STRANGE);
    PUT(&line, " alpn=");
    put_alpn(&line, facts[ALPN]);
    PUT(&line, " gateway=");
    put_value(&line, facts[GATEWAY], OWN);
    PUT(&line, " virtual_service=");
    put_value(&line, facts[VIRTUAL_SERVICE], OWN);
    PUT(&line, " destination=");
    put_value(&line, facts[DESTINATION], OWN);
    PUT(&line, " endpoint=");
    put_value(&line, facts[ENDPOINT], OWN);
    PUT(&line, " bytes_in=");
    put_number(&line, facts[BYTES_IN]);
    PUT(&line, " bytes_out=");
    put_number(&line, facts[BYTES_OUT]);
    PUT(&line, " duration=");
    put_seconds(&line, facts[DURATION]);
    PUT(&line, " first_byte=");
    put_seconds(&line, facts[FIRST_BYTE]);
    PUT(&line, " dial=");
    put_seconds(&line, facts[DIAL]);
    PUT(&line, " dial_error=");
    put_value(&line, facts[DIAL_ERROR], OWN);
    PUT(&line, " ending=");
    put_value(&line, facts[ENDING], OWN);
    if (PyErr_Occurred())
        return NULL;
    if (line.refused)
        Py_RETURN_NONE;
    text = PyUnicode_New((Py_ssize_t)line.length, 127);
    if (text)
        memcpy(PyUnicode_1BYTE_DATA(text), line.text, line.length);
    return text;
}

static PyMethodDef functions[] = {
    {"text_line", (PyCFunction)(void (*)(void))text_line, METH_FASTCALL,
     "text_line(*facts): the line, or None if something in it has to be escaped or is unusual."},
    {NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "meshgate.proxy._line",
    .m_doc = "The usual line of the access log, for meshgate.proxy.log_line.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__line(void)
{
    for (int c = '!'; c <= '~'; c++)
        plain[c] = c == '"' || c == '\\' ? 0 : OWN;
    for (const char *at = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/*+-"; *at; at++)
        plain[(unsigned char)*at] |= STRANGE;
    return PyModule_Create(&module);
}
