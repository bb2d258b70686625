/* Waiting for events and dispatching them: the C form of meshgate.transport.lean.events. The tests run on both forms. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, LONGEST_WAIT = 86400 };

typedef struct {
    PyObject_HEAD
    int descriptor;
    /* The present value of owner.batch_size, so that it is set only when it changes. */
    long batch_size;
    PyObject *calls, *owner, *to_close;
} Events;

/* Names of attributes of the owner and of the reactor. */
static PyObject *batch_size_name, *close_waiting, *do_iteration, *new_timed_calls, *just_stopped, *started;

static PyObject *failed(void)
{
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *Events_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    Events *self;
    PyObject *calls, *owner;

    if (names && PyDict_GET_SIZE(names)) {
        PyErr_SetString(PyExc_TypeError, "no arguments are taken by name");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "O!O", &PyDict_Type, &calls, &owner))
        return NULL;
    self = (Events *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->descriptor = -1;
    self->batch_size = -1;
    self->calls = Py_NewRef(calls);
    self->owner = Py_NewRef(owner);
    self->to_close = PyObject_GetAttrString(owner, "to_close");
    if (self->to_close && !PyList_Check(self->to_close))
        PyErr_SetString(PyExc_TypeError, "to_close is no list");
    if (!PyErr_Occurred()) {
        self->descriptor = epoll_create1(EPOLL_CLOEXEC);
        if (self->descriptor < 0)
            failed();
    }
    if (PyErr_Occurred())
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int Events_traverse(Events *self, visitproc visit, void *arg)
{
    Py_VISIT(self->calls);
    Py_VISIT(self->owner);
    Py_VISIT(self->to_close);
    return 0;
}

static int Events_clear(Events *self)
{
    Py_CLEAR(self->calls);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->to_close);
    return 0;
}

static PyObject *Events_close(Events *self, PyObject *nothing)
{
    int descriptor = self->descriptor;

    self->descriptor = -1;
    if (descriptor >= 0 && close(descriptor) < 0)
        return failed();
    Py_RETURN_NONE;
}

static void Events_dealloc(Events *self)
{
    PyObject_GC_UnTrack(self);
    if (self->descriptor >= 0)
        close(self->descriptor);
    Events_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *Events_fileno(Events *self, PyObject *nothing)
{
    return PyLong_FromLong(self->descriptor);
}

static PyObject *control(Events *self, int operation, PyObject *const *arguments, Py_ssize_t given, Py_ssize_t wanted)
{
    struct epoll_event event = {0};

    if (given != wanted)
        return PyErr_Format(PyExc_TypeError, "%zd arguments are given, %zd are taken", given, wanted);
    event.data.fd = (int)PyLong_AsLong(arguments[0]);
    if (wanted > 1)
        event.events = (uint32_t)PyLong_AsUnsignedLongMask(arguments[1]);
    if (PyErr_Occurred())
        return NULL;
    if (epoll_ctl(self->descriptor, operation, event.data.fd, &event) < 0)
        return failed();
    Py_RETURN_NONE;
}

static PyObject *Events_register(Events *self, PyObject *const *arguments, Py_ssize_t given)
{
    return control(self, EPOLL_CTL_ADD, arguments, given, 2);
}

static PyObject *Events_modify(Events *self, PyObject *const *arguments, Py_ssize_t given)
{
    return control(self, EPOLL_CTL_MOD, arguments, given, 2);
}

static PyObject *Events_unregister(Events *self, PyObject *const *arguments, Py_ssize_t given)
{
    return control(self, EPOLL_CTL_DEL, arguments, given, 1);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Report the exception of a call to the owner; 0 with an exception set if it must leave the loop. */
static int report_failure(Events *self, PyObject *descriptor)
{
    PyObject *type, *value, *traceback, *reported;

    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return 0;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    reported = PyObject_CallMethod(self->owner, "call_failed", "OO", descriptor, value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    Py_XDECREF(reported);
    return reported != NULL;
}

/* What the calls of a batch returned: nothing but False, None, or True. */
enum { NOTHING_ELSE, SOMETHING, MUST_GO_ON };

/* Dispatch one event; 0 with an exception set if it must leave the loop. */
static int call(Events *self, const struct epoll_event *event, int *happened)
{
    PyObject *descriptor = PyLong_FromLong(event->data.fd), *bits = NULL, *whom, *result;
    int good = 0;

    if (!descriptor)
        return 0;
    whom = PyDict_GetItemWithError(self->calls, descriptor);
    if (!whom) {
        /* The descriptor was forgotten within this batch. */
        good = !PyErr_Occurred();
        goto end;
    }
    Py_INCREF(whom);
    bits = PyLong_FromUnsignedLong(event->events);
    if (bits) {
        result = PyObject_CallOneArg(whom, bits);
        if (result == Py_True)
            *happened = MUST_GO_ON;
        else if (result != Py_False && *happened == NOTHING_ELSE)
            *happened = SOMETHING;
        good = result != NULL || report_failure(self, descriptor);
        Py_XDECREF(result);
    }
    Py_DECREF(whom);
end:
    Py_XDECREF(bits);
    Py_DECREF(descriptor);
    return good;
}

static int announce(Events *self, int count)
{
    PyObject *batch_size;

    if (self->batch_size == count)
        return 1;
    batch_size = PyLong_FromLong(count);
    if (!batch_size || PyObject_SetAttr(self->owner, batch_size_name, batch_size) < 0) {
        Py_XDECREF(batch_size);
        return 0;
    }
    Py_DECREF(batch_size);
    self->batch_size = count;
    return 1;
}

/* Wait, and dispatch what is ready; the number of events, or -1 with an exception set. A signal ends the wait. */
static int batch(Events *self, int milliseconds, int *happened)
{
    struct epoll_event events[BATCH];
    int count;

    if (PyThreadState_Next(PyInterpreterState_ThreadHead(PyInterpreterState_Get()))) {
        Py_BEGIN_ALLOW_THREADS
        count = epoll_wait(self->descriptor, events, BATCH, milliseconds);
        Py_END_ALLOW_THREADS
    } else {
        /* There is no other thread to release the interpreter's lock for, and only this one could start one. */
        count = epoll_wait(self->descriptor, events, BATCH, milliseconds);
    }
    if (count < 0) {
        if (errno != EINTR) {
            failed();
            return -1;
        }
        *happened = MUST_GO_ON;
        return PyErr_CheckSignals() < 0 ? -1 : 0;
    }
    if (!announce(self, count))
        return -1;
    for (int i = 0; i < count; i++)
        if (!call(self, &events[i], happened))
            return -1;
    if (PyList_GET_SIZE(self->to_close)) {
        PyObject *done = PyObject_CallMethodNoArgs(self->owner, close_waiting);

        if (!done)
            return -1;
        Py_DECREF(done);
    }
    return count;
}

static PyObject *Events_dispatch(Events *self, PyObject *nothing)
{
    int happened = NOTHING_ELSE, count = batch(self, 0, &happened);

    return count < 0 ? NULL : PyLong_FromLong(count);
}

/* 1 if an attribute of the reactor is true, else 0; -1 with an exception set if there is none. */
static int is_true(PyObject *reactor, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(reactor, name);

    if (value)
        return PyObject_IsTrue(value);
    if (!PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, name);
    return -1;
}

/* 1 if the reactor has something to do, else 0; -1 with an exception set if it lacks an attribute. */
static int reactor_is_due(PyObject *reactor)
{
    int replaced = PyDict_Contains(reactor, do_iteration);
    int due = replaced < 0 ? replaced : !replaced;

    if (!due)
        due = is_true(reactor, new_timed_calls);
    if (!due)
        due = is_true(reactor, just_stopped);
    if (!due) {
        int runs = is_true(reactor, started);
        due = runs < 0 ? runs : !runs;
    }
    return due;
}

static PyObject *Events_serve(Events *self, PyObject *const *arguments, Py_ssize_t given)
{
    PyObject *reactor;
    double until, left;
    int due = 0;

    if (given != 2 || !PyDict_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "seconds and a reactor's attributes are taken");
        return NULL;
    }
    reactor = arguments[1];
    left = PyFloat_AsDouble(arguments[0]);
    if (left == -1.0 && PyErr_Occurred())
        return NULL;
    until = now() + left;
    do {
        int wait = left <= 0 ? 0 : left > LONGEST_WAIT ? LONGEST_WAIT * 1000 : (int)ceil(left * 1000);
        int happened = NOTHING_ELSE;

        if (batch(self, wait, &happened) < 0)
            return NULL;
        if (happened == MUST_GO_ON || self->descriptor < 0)
            break;
        if (happened == SOMETHING)
            due = reactor_is_due(reactor);
        left = until - now();
    } while (!due && left > 0);
    if (due < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef Events_methods[] = {
    {"close", (PyCFunction)Events_close, METH_NOARGS, NULL},
    {"fileno", (PyCFunction)Events_fileno, METH_NOARGS, NULL},
    {"dispatch", (PyCFunction)Events_dispatch, METH_NOARGS, NULL},
    {"modify", (PyCFunction)(void (*)(void))Events_modify, METH_FASTCALL, NULL},
    {"register", (PyCFunction)(void (*)(void))Events_register, METH_FASTCALL, NULL},
    {"serve", (PyCFunction)(void (*)(void))Events_serve, METH_FASTCALL, NULL},
    {"unregister", (PyCFunction)(void (*)(void))Events_unregister, METH_FASTCALL, NULL},
    {NULL},
};

static PyTypeObject Events_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "meshgate.transport.lean._events.Events",
    .tp_doc = "As meshgate.transport.lean.events.Events.",
    .tp_basicsize = sizeof(Events),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)Events_traverse,
    .tp_clear = (inquiry)Events_clear,
    .tp_new = Events_new,
    .tp_dealloc = (destructor)Events_dealloc,
    .tp_methods = Events_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "meshgate.transport.lean._events",
    .m_doc = "Waiting for events, as meshgate.transport.lean.events has it.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__events(void)
{
    PyObject *self;

    if (PyType_Ready(&Events_Type) < 0)
        return NULL;
    batch_size_name = PyUnicode_InternFromString("batch_size");
    close_waiting = PyUnicode_InternFromString("close_waiting");
    do_iteration = PyUnicode_InternFromString("doIteration");
    new_timed_calls = PyUnicode_InternFromString("_newTimedCalls");
    just_stopped = PyUnicode_InternFromString("_justStopped");
    started = PyUnicode_InternFromString("_started");
    if (!batch_size_name || !close_waiting || !do_iteration || !new_timed_calls || !just_stopped || !started)
        return NULL;
    self = PyModule_Create(&module);
    if (self && PyModule_AddObjectRef(self, "Events", (PyObject *)&Events_Type) < 0)
        Py_CLEAR(self);
    return self;
}
