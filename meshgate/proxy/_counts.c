/* Words that are added to: the C form of PlainWords of meshgate.proxy.connection_counts. The tests run on both forms. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
} Words;

static PyObject *Words_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    PyObject *memory;
    Words *self;

    if (names && PyDict_GET_SIZE(names)) {
        PyErr_SetString(PyExc_TypeError, "no arguments are taken by name");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "O", &memory))
        return NULL;
    self = (Words *)type->tp_alloc(type, 0);
    if (self && PyObject_GetBuffer(memory, &self->memory, PyBUF_WRITABLE))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void Words_dealloc(Words *self)
{
    PyBuffer_Release(&self->memory);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Each word is written by one store, so that no reader sees half of a number. */
static PyObject *Words_add(Words *self, PyObject *const *pairs, Py_ssize_t count)
{
    int64_t *words = self->memory.buf;
    Py_ssize_t length = self->memory.len / (Py_ssize_t)sizeof *words;
    Py_ssize_t first = count ? PyLong_AsSsize_t(pairs[0]) : 0;

    if (first == -1 && PyErr_Occurred())
        return NULL;
    for (Py_ssize_t position = 1; position + 1 < count; position += 2) {
        Py_ssize_t index = PyLong_AsSsize_t(pairs[position]);
        long long number = PyLong_AsLongLong(pairs[position + 1]);

        if ((index == -1 || number == -1) && PyErr_Occurred())
            return NULL;
        if (first < 0 || first > length || index < 0 || index >= length - first) {
            PyErr_SetString(PyExc_IndexError, "there is no such word");
            return NULL;
        }
        words[first + index] += number;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)(void (*)(void))Words_add, METH_FASTCALL, "Add to several words behind a first one."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject words_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "meshgate.proxy._counts.Words",
    .tp_basicsize = sizeof(Words),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Words_new,
    .tp_dealloc = (destructor)Words_dealloc,
    .tp_methods = methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_counts", "Counts of connections in shared memory.", -1, NULL, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__counts(void)
{
    PyObject *made;

    if (PyType_Ready(&words_type) < 0)
        return NULL;
    made = PyModule_Create(&module);
    if (made && PyModule_AddObjectRef(made, "Words", (PyObject *)&words_type) < 0)
        Py_CLEAR(made);
    return made;
}
