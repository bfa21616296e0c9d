# The real adbd, AOSP 10's, for this machine: `make -f adbd.mk SOURCE=FOLDER` in an empty folder ->
#
#     adbd           takes every computer, as a phone does that was told to trust it
#     adbd-locked    wants the computer's key confirmed, which nobody does
#
# SOURCE: Debian's source package android-platform-tools 29.0.6, unpacked. Debian itself builds only the client of it.
# Needs clang and the packages in packages.txt.
ADB := $(SOURCE)/system/core/adb
CORE := $(SOURCE)/system/core
AUTH := $(SOURCE)/frameworks/native/libs/adbd_auth

# As Android.bp has them for adbd, less mDNS, USB by FunctionFS, and the framebuffer.
SOURCES := $(addprefix $(ADB)/, \
  adb.cpp adb_io.cpp adb_listeners.cpp adb_trace.cpp adb_unique_fd.cpp adb_utils.cpp \
  fdevent/fdevent.cpp fdevent/fdevent_epoll.cpp fdevent/fdevent_poll.cpp \
  services.cpp shell_service_protocol.cpp sockets.cpp socket_spec.cpp \
  sysdeps/errno.cpp sysdeps/posix/network.cpp sysdeps_unix.cpp \
  transport.cpp transport_fd.cpp transport_local.cpp transport_usb.cpp types.cpp \
  daemon/auth.cpp daemon/file_sync_service.cpp daemon/jdwp_service.cpp daemon/services.cpp \
  daemon/shell_service.cpp daemon/usb_dummy.cpp \
  adbconnection/adbconnection_server.cpp) \
  $(AUTH)/adbd_auth.cpp $(CORE)/diagnose_usb/diagnose_usb.cpp $(CORE)/libasyncio/AsyncIO.cpp
KEYS := $(CORE)/libcrypto_utils/android_pubkey.c

INCLUDES := $(addprefix -I, /usr/include/android $(ADB) $(ADB)/adbconnection/include $(ADB)/daemon/include \
  $(AUTH)/include $(addsuffix /include, $(CORE) $(CORE)/base $(CORE)/diagnose_usb $(CORE)/libasyncio \
  $(CORE)/libcrypto_utils $(CORE)/libcutils $(CORE)/liblog))
DEFINES := -D_GNU_SOURCE -DADB_HOST=0 -DADB_VERSION='"debian"' -DPLATFORM_TOOLS_VERSION='"29.0.6"' \
  -DALLOW_ADBD_ROOT=0
CXX_FLAGS := -std=gnu++2a -include atomic -include optional
FLAGS := -O1 -fPIC -fno-exceptions -fno-strict-aliasing -w $(DEFINES) $(INCLUDES)
LIBRARIES := /usr/lib/$(shell dpkg-architecture -qDEB_HOST_MULTIARCH)/android

OBJECTS := $(SOURCES:$(SOURCE)/%.cpp=objects/%.o) $(KEYS:$(SOURCE)/%.c=objects/%.o)

MAIN := $(ADB)/daemon/main.cpp

all: adbd adbd-locked

adbd adbd-locked: %: objects/%-main.o $(OBJECTS)
	clang++ -o $@ $^ -L$(LIBRARIES) -Wl,-rpath=$(LIBRARIES) -lbase -lcrypto -lcutils -llog -lpthread -lresolv -lutil

objects/adbd-main.o: FLAGS += -DALLOW_ADBD_NO_AUTH
objects/%-main.o: $(MAIN)
	@mkdir -p $(@D)
	clang++ $(CXX_FLAGS) $(FLAGS) -c -o $@ $<

objects/%.o: $(SOURCE)/%.cpp
	@mkdir -p $(@D)
	clang++ $(CXX_FLAGS) $(FLAGS) -c -o $@ $<

objects/%.o: $(SOURCE)/%.c
	@mkdir -p $(@D)
	clang $(FLAGS) -c -o $@ $<
