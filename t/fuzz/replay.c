
/* Runs a target over the files given. */


#include "fuzz.h"


int
main(int argc, char **argv)
{
    int       i;
    FILE     *file;
    size_t    size;
    uint8_t  *data;

    static uint8_t  buf[1 << 20];

    for (i = 1; i < argc; i++) {
        file = fopen(argv[i], "rb");

        if (file == NULL) {
            perror(argv[i]);
            return 1;
        }

        size = fread(buf, 1, sizeof(buf), file);
        fclose(file);

        /* at the very end of an allocation */

        data = malloc(size ? size : 1);
        memcpy(data, buf, size);

        /* which one it was, should it abort */

        fprintf(stderr, "%s\n", argv[i]);
        LLVMFuzzerTestOneInput(data, size);

        free(data);
    }

    return 0;
}
